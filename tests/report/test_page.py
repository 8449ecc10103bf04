"""The page: self-contained, escaped, complete, and honest about what has no result."""

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from synthetic_sweep import ATTACK, MISSING, SMALL, Plan, add_run, run_config, write_run, write_sweep

from superdyn import analysis
from superdyn.config import RunConfig
from superdyn.report.page import symbols, write_report
from superdyn.runs.sweep_folder import SweepPoint, add_points, run_folders


def test_page_loads_nothing_from_outside(page: str):
    assert not re.search(r"https?:|//\w+\.\w|@import|<link|<iframe", page)
    sources = re.findall(r'\b(?:src|href)="([^"]*)"', page)
    assert all(s.startswith(("#", "data:", "figures/")) for s in sources)


def test_texts_from_files_are_escaped(page: str):
    assert ATTACK not in page
    assert page.count(">&lt;script&gt;alert(&#39;run&#39;)&lt;/script&gt;<") == 3  # claim, failed run, all runs


def test_every_run_is_listed(page: str, sweep: Path):
    assert all(f">{folder.name}<" in page for folder in run_folders(sweep))


@pytest.mark.parametrize("state", ["failed", "interrupted", "missing"])
def test_runs_without_result_are_counted_and_listed(page: str, state: str):
    section = page[page.index('<section id="unfinished">') : page.index('<section id="figure-loss_curves">')]
    assert f'<td class="state {state}"' in section
    assert f"<b>1</b> {state}" in page
    assert MISSING in section


def test_claims_carry_their_verdict_and_interval(page: str):
    claims = page[page.index('<section id="claims">') : page.index('<section id="unfinished">')]
    assert "1.51 [1.48, 1.54]" in claims
    assert 'class="verdict pass"' in claims


def test_ids_are_unique_so_that_figures_do_not_borrow_from_each_other(page: str):
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_references_inside_the_figures_resolve(page: str):
    ids = set(re.findall(r'\bid="([^"]+)"', page))
    used = set(re.findall(r'href="#([^"]+)"', page)) | set(re.findall(r"url\(#([^)]+)\)", page))
    assert used <= ids


def test_sweep_without_finished_runs_gives_a_page_that_says_so(tmp_path: Path):
    add_run(tmp_path, run_config("trained_embedding", (1.5, 0.0), 0, SMALL), state="failed", error="out of memory")
    page = write_report(tmp_path).read_text()
    assert "No finished runs" in page
    assert "out of memory" in page


def test_sweep_of_which_nothing_has_started_lists_its_points(tmp_path: Path):
    add_points(tmp_path, [SweepPoint("f" * 64, MISSING)])
    page = write_report(tmp_path).read_text()
    assert "No finished runs" in page
    assert f">{MISSING}<" in page


def test_single_run_folder_is_reported(tmp_path: Path):
    root = write_sweep(tmp_path, Plan(pairs=((2.0, 0.0),), n_seeds=1, n_features=32, max_steps=500,
                                             models=("no_superposition",)))  # fmt: skip
    (run,) = run_folders(root)
    target = write_report(run.path)
    assert target == run.path / "report.html"
    assert run.name in target.read_text()


def test_folder_without_runs_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="holds no run"):
        write_report(tmp_path)


def test_symbols_are_set_below_and_above_the_line():
    assert symbols("α_seq < i^a, run_name") == "α<sub>seq</sub> &lt; i<sup>a</sup>, run_name"


def test_what_a_run_calls_itself_is_text_on_the_page_and_in_the_figures(tmp_path: Path):
    plan = Plan(n_features=32, max_steps=500)
    for seed, notes in enumerate((ATTACK, "second run")):
        named = run_config(ATTACK, (1.5, 0.0), seed, plan).to_mapping() | {"notes": notes, "name": ATTACK}
        add_run(tmp_path, RunConfig.from_mapping(named), state="done" if seed else "failed", error=ATTACK)
        add_run(tmp_path, run_config(f"$\\frac_{ATTACK}--><b>", (1.5, 0.0), seed, plan))
    first = run_folders(tmp_path)[0].path
    first.rename(first.with_name("<img src=x onerror=alert(1)>"))
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert not re.search(r"<(script>alert|img|b>.*onerror)", page)
    assert "&lt;script&gt;alert(&#39;run&#39;)&lt;/script&gt;" in page
    assert ">second run<" in page
    for figure in (tmp_path / "figures").glob("*.svg"):
        tags = {element.tag.rpartition("}")[2] for element in ElementTree.parse(figure).iter()}
        assert not tags & {"script", "img", "b", "foreignObject"}, figure


def test_notes_that_all_runs_share_stand_once_above_the_tables(tmp_path: Path):
    for seed in range(2):
        config = run_config("trained_embedding", (1.5, 0.0), seed, SMALL).to_mapping() | {"notes": "a & b"}
        add_run(tmp_path, RunConfig.from_mapping(config), state="interrupted")
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert page.count("Notes: a &amp; b") == page.count("a &amp; b") == 1


def test_a_student_without_any_loss_at_the_start_is_reported(tmp_path: Path):
    run = write_run(tmp_path / "run", run_config("trained_embedding", (1.5, 0.0), 0, SMALL))
    steps = np.array([0, 1, 10])
    run.write_curve({"step": steps, "lr_time": steps * 1.0, "loss": np.zeros(3)})
    run.write_spectrum(steps, np.zeros((3, 32)))
    run.write_result(analysis.run_result(run.path, n_boot=2))
    assert write_report(run.path).is_file()
