"""Figures of width: lines and exponents are those of the judges, and a grid of 540 runs stays a small page."""

import time
from pathlib import Path

import numpy as np
import pytest
from matplotlib.lines import Line2D
from width_sweep import TINY, Grid, exponent, write_grid

from superdyn.analysis import load_sweep
from superdyn.analysis.claims.superposition_grid import grid_rows
from superdyn.config import ClaimConfig
from superdyn.report.page import write_report
from superdyn.report.sparse_curves import ENOUGH, with_local_exponents
from superdyn.report.study import load_study
from superdyn.report.width_lines import width_lines
from superdyn.report.width_map import width_map_figure
from superdyn.report.widths import widths_figure

DECAY, A = "optimizer.weight_decay", "data.data_exponent"
CLAIM = {"statement": "s", "source": "p", "judge": "superposition_grid", "kind": "finding", "expected": 1.0,
         "tolerance": 0.2, "minutes": {}}  # fmt: skip


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_grid(tmp_path_factory.mktemp("grid"), TINY)


def test_lines_have_the_exponents_and_brackets_of_the_judge(grid: Path):
    rows = grid_rows("c", ClaimConfig.model_validate(CLAIM), load_sweep(grid).assign(represented=1.0))
    judged = [(row.measured, row.low, row.high) for row in rows if row.verdict == "reported"]
    lines = width_lines(load_study(grid))
    assert [(line.beta, *line.interval) for line in lines] == judged
    made = [exponent(decay, a) for decay in TINY.decays for a in TINY.exponents]
    assert [line.beta for line in lines] == pytest.approx(made, abs=0.05)


def test_a_panel_a_condition_with_a_line_of_slope_minus_beta_for_each_law(grid: Path):
    study = load_study(grid)
    lines = width_lines(study)
    panels = widths_figure(study, lines).figure.axes
    assert [axes.get_title(loc="left") for axes in panels] == ["weight_decay = -1", "weight_decay = 1"]
    drawn = [np.log(line.get_xydata()) for axes in panels for line in axes.lines if _is_fit(line)]
    slopes = [(points[-1] - points[0])[1] / (points[-1] - points[0])[0] for points in drawn]
    assert slopes == pytest.approx([-line.beta for line in lines])


def _is_fit(line: Line2D) -> bool:
    """Not a mark, not the dotted guide, and not the entry of a key."""
    return line.get_linestyle() in ("-", "--") and len(np.asarray(line.get_xdata())) > 1 and line.get_zorder() == 2


def test_the_map_has_a_number_in_each_cell_and_hatches_what_is_no_power_law(grid: Path):
    lines = width_lines(load_study(grid))
    bent = [line for line in lines if not line.straight]
    drawing = width_map_figure(lines)
    assert drawing is not None
    axes = drawing.figure.axes[0]
    assert [text.get_text() for text in axes.texts] == [f"{line.beta:.2f}" for line in lines]
    assert len(axes.patches) == len(bent)


def test_two_widths_are_no_line(tmp_path: Path):
    root = write_grid(tmp_path, Grid((-1.0,), (1.0,), (4, 8), (0,), 32, 300))
    assert width_lines(load_study(root)) == []
    page = write_report(root).read_text(encoding="utf-8")
    assert "Final loss over width" not in page


def test_an_unfinished_width_is_left_out_of_its_line(tmp_path: Path):
    root = write_grid(tmp_path, Grid((-1.0,), (0.0, 1.0), (4, 8, 16, 32), (0,), 64, 300))
    lost = next(path for path in sorted(root.glob("width=8,*")) if ",a=1," in path.name)
    (lost / "status.json").unlink()
    assert [line.at.tolist() for line in width_lines(load_study(root))] == [[4, 8, 16, 32], [4, 16, 32]]


@pytest.mark.parametrize(("points", "drawn"), [(5, False), (ENOUGH, True)])
def test_local_exponents_need_points_and_the_page_names_the_key(tmp_path: Path, points: int, drawn: bool):
    root = write_grid(tmp_path, Grid((-1.0,), (1.0,), (4, 8), (0,), 32, 3000, points))
    panels, sentence = with_local_exponents(load_study(root))
    assert list(panels) == (["K = 4", "K = 8"] if drawn else [])
    assert (sentence == "") == drawn
    page = write_report(root).read_text(encoding="utf-8")
    assert (root / "figures" / "local_slopes.svg").exists() == drawn
    assert ("trainer.points_per_decade=5, and 25, the default, is enough" in page) != drawn


@pytest.mark.slow
def test_the_page_of_540_runs_is_small_and_quickly_made(tmp_path: Path):
    root = write_grid(tmp_path, Grid())
    start = time.process_time()
    page = write_report(root)
    assert time.process_time() - start < 60
    assert page.stat().st_size < 5e6
