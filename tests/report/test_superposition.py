"""Figures of superposition: the recorded values, the levels of random unit vectors, and one student's embedding."""

from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from synthetic_sweep import SMALL, run_config, write_run

from superdyn.config import RunConfig
from superdyn.models.measure_names import EMBEDDING_MEASURES, OFF_DIAGONAL_ENERGY
from superdyn.models.measures import (
    feature_dimensionality,
    off_diagonal_energy,
    row_statistics,
    superposition_measures,
)
from superdyn.report import embedding_figure
from superdyn.report.choice import factorial
from superdyn.report.embedding import feature_geometry
from superdyn.report.study import load_study
from superdyn.report.superposition import superposition_figure
from superdyn.report.superposition_nulls import LABELS, levels
from superdyn.report.superposition_sweep import swept_superposition_figures

WIDTHS = (4, 8, 16)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three widths × two seeds, whose measures are width × (1 + seed) × (1 + step); an old run without any."""
    root = tmp_path_factory.mktemp("measured")
    for width in (*WIDTHS, 32):
        for seed in range(2):
            mapping = run_config("trained_embedding", (1.5, 0.0), seed, SMALL).to_mapping()
            mapping["model"]["width"] = width
            run = write_run(root / f"width={width},seed={seed}-00000000", RunConfig.from_mapping(mapping))
            curve = run.curve()
            assert curve is not None
            if width < 32:
                values = width * (1.0 + seed) * (1.0 + curve["step"])
                run.write_curve(curve | dict.fromkeys(EMBEDDING_MEASURES, values))
    return root


def test_measures_are_drawn_over_time_in_a_column_a_condition_with_their_levels(measured: Path):
    drawing = superposition_figure(load_study(measured))
    assert drawing is not None
    assert [axes.get_title("left") for axes in drawing.figure.axes[:3]] == ["K = 4", "K = 8", "K = 16"]
    assert len(drawing.figure.axes) == 5 * 3
    overlap = drawing.figure.axes[3 + 1]
    median, random, limit = (np.asarray(line.get_ydata(), float) for line in overlap.lines)
    assert median[-1] == pytest.approx(8 * 1.5 * (1 + SMALL.max_steps))
    assert random.tolist() == [1 / 8] * 2
    assert limit[0] == pytest.approx((32 - 8) / (8 * 31))


def test_measures_at_the_end_are_drawn_over_a_swept_number(measured: Path):
    (drawing,) = swept_superposition_figures(load_study(measured))
    assert drawing.name == "superposition_by_width"
    ends, random, _ = drawing.figure.axes[1].lines
    np.testing.assert_allclose(np.asarray(ends.get_xydata())[:, 0], WIDTHS)
    np.testing.assert_allclose(np.asarray(ends.get_xydata())[:, 1], np.array(WIDTHS) * 1.5 * (1 + SMALL.max_steps))
    np.testing.assert_allclose(np.asarray(random.get_ydata(), float), 1 / np.array(WIDTHS))


def test_runs_without_measures_get_no_figure(sweep: Path):
    assert superposition_figure(load_study(sweep)) is None
    assert swept_superposition_figures(load_study(sweep)) == []


def test_levels_are_those_of_random_unit_vectors_and_the_limits_hold():
    n, k = 512, 64
    rows = torch.randn(n, k, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    embedding = (rows / rows.norm(dim=1, keepdim=True)).T[None]
    found = superposition_measures(embedding) | {OFF_DIAGONAL_ENERGY: off_diagonal_energy(embedding, None, embedding)}
    assert found.keys() == LABELS.keys()
    for name, value in found.items():
        expected = levels(name, n, k)
        if expected.random is not None:
            assert float(value) == pytest.approx(expected.random, rel=0.01), name
    for name in ("mean_feature_dimensionality", "participation_ratio"):
        assert float(found[name]) <= (levels(name, n, k).limit or 0)
    assert float(found["mean_square_overlap"]) >= (levels("mean_square_overlap", n, k).limit or 0) > 0


def test_of_a_grid_a_few_values_of_every_key_are_drawn_in_all_combinations():
    grid = [(decay, a) for decay in range(10) for a in "abcdefghi"]
    assert [grid[i] for i in factorial(grid, 9)] == [(decay, a) for decay in (0, 4, 9) for a in "aei"]
    assert factorial([(i, i) for i in range(10)], 4) == [0, 3, 6, 9]
    assert factorial([(1,), (2,)], 9) == [0, 1]


def test_geometry_of_features_is_that_of_the_measures():
    rows = torch.randn(9, 4, dtype=torch.float64) * torch.arange(9)[:, None]
    norms, dimensionality = feature_geometry(rows.T.numpy())
    statistics = row_statistics(rows[None])
    np.testing.assert_allclose(norms, statistics.norms[0])
    np.testing.assert_allclose(dimensionality, feature_dimensionality(rows[None], statistics)[0], rtol=1e-12)


@pytest.mark.parametrize(("n", "panels"), [(8, 3), (100, 2)])
def test_an_embedding_is_drawn_with_its_overlaps_while_they_can_be_seen(n: int, panels: int, tmp_path: Path):
    embedding = np.random.default_rng(0).standard_normal((4, n))
    svg = embedding_figure(embedding, tmp_path / "docs" / "embedding")
    assert svg.read_text().rstrip().endswith("</svg>")
    assert imread(svg.with_suffix(".png"))[..., :3].std() > 0.05
    with pytest.raises(ValueError, match=rf"shape \(4, {n}\) must be a finite matrix"):
        embedding_figure(embedding * np.nan, tmp_path / "embedding")
