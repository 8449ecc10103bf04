"""The figures: files that are not blank, and numbers that are drawn where they belong."""

from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.image import imread
from synthetic_sweep import MISSING, SMALL, Plan, add_run, run_config, write_run, write_sweep

from superdyn.config import RunConfig
from superdyn.models.measure_names import OFF_DIAGONAL_ENERGY
from superdyn.models.measures import superposition_measures
from superdyn.report.curves import curves_figure
from superdyn.report.exponent_list import forest_figure
from superdyn.report.exponents import exponents_figure
from superdyn.report.headline import headline_figure
from superdyn.report.heatmap import binned, rank_bins
from superdyn.report.own_measures import SUPERDYNS, own_measure_figures
from superdyn.report.seeds import seed_band
from superdyn.report.slopes import slopes_figure
from superdyn.report.study import load_study
from superdyn.report.style import Drawing, pair_colours
from superdyn.report.svg import write_figure
from superdyn.runs.folder import CURVE_COLUMNS
from superdyn.runs.record import LATER_COLUMNS
from superdyn.runs.sweep_folder import SweepPoint, add_points

NAMES = ["loss_curves", "local_slopes", "exponents", "exponent_list", "feature_heatmap", "half_times"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("page")
def test_figure_is_written_as_svg_and_png_and_is_not_blank(sweep: Path, name: str):
    pixels = imread(sweep / "figures" / f"{name}.png")[..., :3]
    assert pixels.std() > 0.05
    assert (sweep / "figures" / f"{name}.svg").read_text().rstrip().endswith("</svg>")


def test_headline_figure_compares_reference_and_bottleneck(sweep: Path, tmp_path: Path):
    assert headline_figure(sweep, tmp_path / "docs" / "headline.svg").is_file()
    assert imread(tmp_path / "docs" / "headline.png")[..., :3].std() > 0.05


def test_headline_figure_is_of_the_largest_n_on_both_sides(tmp_path: Path):
    for n in (16, 32):
        plan = Plan(pairs=((1.5, 1.0),), n_features=n, max_steps=1000)
        for model in ("no_superposition", "trained_embedding"):
            add_run(tmp_path, run_config(model, (1.5, 1.0), 0, plan))
    add_run(tmp_path, run_config("trained_embedding", (1.5, 1.0), 1, Plan(n_features=16, max_steps=1000)))
    drawn = headline_figure(tmp_path, tmp_path / "headline.svg").read_text()
    assert "K = N = 32" in drawn
    assert "K = 16, N = 32" in drawn


def test_headline_figure_needs_the_reference(tmp_path: Path):
    add_run(tmp_path, run_config("trained_embedding", (1.5, 0.0), 0, SMALL))
    with pytest.raises(ValueError, match="no_superposition"):
        headline_figure(tmp_path, tmp_path / "headline.svg")


def test_exact_curve_lies_on_the_measured_one(sweep: Path):
    axes = curves_figure(load_study(sweep)).figure.axes[0]
    exact, measured = axes.lines[0].get_xydata(), axes.lines[1].get_xydata()
    np.testing.assert_allclose(np.asarray(measured), np.asarray(exact), rtol=1e-12)


def test_reference_condition_comes_first_and_labels_are_minimal(sweep: Path):
    study = load_study(sweep)
    assert list(study.groups) == ["no_superposition", "trained_embedding"]
    assert study.keys == ["model.name"]


def test_conditions_are_in_order_of_size_and_a_missing_point_has_none(tmp_path: Path):
    for rate in (0.5, 0.25):
        config = run_config("trained_embedding", (1.5, 0.0), 0, SMALL).to_mapping()
        config["optimizer"]["lr"] = rate
        add_run(tmp_path, RunConfig.from_mapping(config))
    add_points(tmp_path, [SweepPoint("f" * 64, MISSING), SweepPoint("e" * 64, "seed=8-eeeeeeee")])
    study = load_study(tmp_path)
    assert list(study.groups) == ["η = 0.25", "η = 0.5"]
    assert study.frame["condition"].tolist() == ["η = 0.25", "η = 0.5", "", ""]


def test_non_finite_losses_are_left_out_of_the_lines(tmp_path: Path):
    run = write_run(tmp_path, run_config("trained_embedding", (1.5, 0.0), 0, SMALL))
    curve = run.curve()
    assert curve is not None
    loss = curve["loss"].copy()
    loss[[5, 9]] = [np.nan, np.inf]
    run.write_curve(curve | {"loss": loss})
    lines = curves_figure(load_study(tmp_path)).figure.axes[0].lines
    assert all(np.isfinite(np.asarray(line.get_ydata(), float)).all() for line in lines)


def test_seed_band_is_median_and_range_where_half_of_the_seeds_are():
    t = np.array([1.0, 10.0, 100.0])
    band = seed_band([t, t, t[:1]], [np.array([1.0, 2, 3]), np.array([3.0, 4, 5]), np.array([8.0])])
    assert band.middle.tolist() == [3.0, 3.0, 4.0]
    assert (band.low.tolist(), band.high.tolist()) == ([1.0, 2.0, 3.0], [8.0, 4.0, 5.0])


def test_rank_bins_hold_every_feature_once_and_average_it():
    edges = rank_bins(1000)
    assert (edges[0], edges[-1]) == (0.5, 1000.5)
    means = binned(np.arange(1.0, 1001.0)[None], edges)[0]
    assert means @ np.diff(edges) == pytest.approx(500_500)


def test_colours_tell_all_pairs_apart():
    pairs = [(a, b) for b in (0.0, 0.5, 1.0) for a in (1.1, 1.5, 2.0)]
    assert len(set(pair_colours(pairs).values())) == len(pairs)


@pytest.mark.parametrize("cone", ["protan", "deutan"])
def test_hues_of_different_b_stay_apart_where_red_and_green_do_not(cone: str):
    """Colours as Viénot, Brettel & Mollon (1999) say that they are seen; told by differences in CIE Lab above 8."""
    pairs = [(a, b) for b in (0.0, 0.25, 0.5, 1.0) for a in (1.1, 1.5, 2.0)]
    seen = {pair: _lab(colour, cone) for pair, colour in pair_colours(pairs).items()}
    apart = [np.linalg.norm(seen[p] - seen[q]) for p in pairs for q in pairs if p[1] < q[1]]
    assert min(apart) > 8


def _lab(colour: str, cone: str) -> np.ndarray:
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    share = {"protan": (0.11238, 0.88762, 0.00401), "deutan": (0.29275, 0.70725, -0.02234)}[cone]
    red = share[0] * linear[0] + share[1] * linear[1]
    seen = np.array([red, red, share[2] * (linear[0] - linear[1]) + linear[2]])
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ seen.clip(0, 1)
    x, y, z = np.cbrt(xyz / [0.9505, 1.0, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_the_axes_of_exponents_hold_whole_intervals_and_the_slope_names_its_time(tmp_path: Path):
    config = run_config("trained_embedding", (1.5, 0.0), 0, SMALL)
    scheduled = {**config.to_mapping(), "optimizer": {"name": "sgd", "lr": 1.0, "schedule": "cosine"}}
    run = write_run(tmp_path, RunConfig.from_mapping(scheduled))
    run.write_result((run.result() or {}) | {"alpha_long": 0.1, "alpha_long_ci": [-0.5, 0.7]})
    study = load_study(tmp_path)
    chart, rows, slopes = exponents_figure(study), forest_figure(study), slopes_figure(study)
    assert isinstance(chart, Drawing)
    assert isinstance(rows, Drawing)
    assert isinstance(slopes, Drawing)
    assert chart.figure.axes[0].get_ylim()[0] < -0.5
    assert rows.figure.axes[0].get_xlim()[0] < -0.5
    assert r"\log \tau" in slopes.figure.axes[0].get_ylabel()


def test_numbers_of_nulls_beyond_the_axis_do_not_lie_on_each_other(tmp_path: Path):
    write_sweep(tmp_path, Plan(pairs=((1.1, 0.5), (1.5, 0.5)), n_seeds=1, models=("trained_embedding",)))
    drawing = exponents_figure(load_study(tmp_path))
    assert isinstance(drawing, Drawing)
    one, other = (text.get_position() for text in drawing.figure.axes[0].texts)
    assert one[0] == pytest.approx(other[0])
    assert abs(one[1] - other[1]) > 0.05


def test_hostile_names_are_plain_text_in_the_figures(tmp_path: Path):
    for seed, name in enumerate(["<script>evil</script>", "$\\broken{ -->"]):
        config = run_config("trained_embedding", (1.5, 0.0), seed, SMALL).to_mapping()
        config["model"]["name"] = name
        add_run(tmp_path, RunConfig.from_mapping(config))
    svg = write_figure(curves_figure(load_study(tmp_path)), tmp_path)
    assert "<script" not in svg
    assert "broken{ -->" not in svg


def test_a_measure_of_the_users_own_has_a_figure_and_those_of_superdyn_have_none(tmp_path: Path):
    mapping = run_config("trained_embedding", (1.5, 0.0), 0, SMALL).to_mapping()
    mapping["trainer"]["measures"] = ["mine.measures.norms"]
    run = write_run(tmp_path, RunConfig.from_mapping(mapping))
    curve = run.curve()
    assert curve is not None
    norms = 1.0 + curve["step"]
    run.write_curve(curve | {"mean norm": norms, "represented_fraction": norms})
    (drawing,) = own_measure_figures(load_study(tmp_path))
    assert (drawing.name, drawing.heading) == ("measure_mean_norm", "Measure: mean norm")
    np.testing.assert_allclose(np.asarray(drawing.figure.axes[0].lines[0].get_ydata(), float), norms[1:])


def test_the_columns_of_superdyn_are_known_to_the_figures():
    recorded = {*superposition_measures(torch.ones(1, 2, 3)), OFF_DIAGONAL_ENERGY}
    assert recorded <= SUPERDYNS
    assert {"loss_floor", *LATER_COLUMNS, *CURVE_COLUMNS} - recorded == SUPERDYNS - recorded
