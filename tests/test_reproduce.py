"""`superdyn reproduce`: every number of the claim table is in the run files, and the exit code tells the verdict."""

import json
import math
import shutil

import numpy as np
import pytest

from superdyn.analysis import load_sweep
from superdyn.analysis.claims import judge
from superdyn.analysis.claims.row import ClaimRow, check, finding
from superdyn.config import ClaimConfig
from superdyn.reproduce import claim_names, judge_claims, reproduce
from superdyn.sweeps.points import Experiment

A, B = "data.data_exponent", "data.importance_exponent"


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """(exit code, sweep folder, claims.json) of the two exactly solvable claims."""
    folder = tmp_path_factory.mktemp("claims") / "smoke"
    code = reproduce(["sequential", "travelling_wave"], "smoke", folder)
    return code, folder, json.loads((folder / "claims.json").read_text())


def claim(judge_name, **changes):
    content = {"statement": "s", "source": "p", "judge": judge_name, "kind": "check", "expected": 0.0,
               "tolerance": 0.01, "minutes": {"smoke": 1.0}}  # fmt: skip
    return ClaimConfig.model_validate(content | changes)


def test_the_exactly_solvable_claims_pass(smoke):
    code, folder, rows = smoke
    assert code == 0
    assert {row["verdict"] for row in rows} == {"pass"}
    assert (folder / "report.html").stat().st_size > 10_000
    assert len(load_sweep(folder)) == 6  # both claims stand on the same six runs


def test_every_measured_number_is_in_the_run_files(smoke):
    _, folder, rows = smoke
    frame = load_sweep(folder)
    columns = {"α (long window)": "alpha_long", "z, from t_½(i) ∝ i^z": "half_time_exponent"}
    points = {f"a={run[A]:g}, b={run[B]:g}": run for run in frame.to_dict("records")}
    for row in rows:
        if row["quantity"] in columns:
            column, run = columns[row["quantity"]], points[row["condition"]]
            assert row["measured"] == run[column]
            assert (row["low"], row["high"]) == (run[f"{column}_low"], run[f"{column}_high"])
        else:
            assert row["measured"] == frame["exact_deviation"].max()
    assert len(rows) == 2 * len(frame) + 1


@pytest.mark.slow
def test_a_second_call_trains_nothing_and_judges_again(smoke, capsys):
    _, folder, rows = smoke
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*/curve.parquet")}
    assert reproduce(["sequential", "travelling_wave"], "smoke", folder) == 0
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*/curve.parquet")} == before
    assert json.loads((folder / "claims.json").read_text()) == rows
    printed = capsys.readouterr().out
    assert all(f"{row['measured']:.4g}" in printed for row in rows)


def test_a_missing_run_is_said_and_never_counts_as_passed(smoke):
    _, folder, _ = smoke
    frame = load_sweep(folder)
    rows = judge("sequential", claim("exact_exponents"), frame, [*frame["signature"], "0" * 64])
    assert [row.verdict for row in rows].count("missing") == 1
    assert rows[-1].measured == 1


def test_a_run_that_deviates_from_theory_fails(smoke):
    _, folder, _ = smoke
    frame = load_sweep(folder).assign(exact_deviation=1e-3)
    rows = judge("sequential", claim("exact_exponents"), frame, list(frame["signature"]))
    assert [row.quantity for row in rows if row.verdict == "fail"] == ["largest |L/L_exact − 1|"]


def test_an_exponent_off_by_more_than_the_tolerance_fails(smoke):
    _, folder, _ = smoke
    frame = load_sweep(folder)
    frame["alpha_long"] += [0.02, 0.005, 0.0, 0.0, 0.0, 0.0]
    rows = judge("sequential", claim("exact_exponents"), frame, list(frame["signature"]))
    assert [row.verdict for row in rows].count("fail") == 1


def judged_again(folder, name, changes):
    """Exit code and verdicts of `travelling_wave` in a copy of the sweep with one file changed."""
    path = next(folder.glob(f"*/{name}"))
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    code = reproduce(["travelling_wave"], "smoke", folder)
    return code, [row["verdict"] for row in json.loads((folder / "claims.json").read_text())]


@pytest.mark.parametrize(
    ("name", "changes", "verdict"),
    [
        ("result.json", {"half_time_exponent": 9.0}, "fail"),
        pytest.param("status.json", {"state": "failed", "error": "lost"}, "missing", marks=pytest.mark.slow),
    ],
)
def test_the_exit_code_is_1_when_a_number_is_off_or_a_run_is_not_done(name, changes, verdict, smoke, tmp_path):
    shutil.copytree(smoke[1], tmp_path / "copy")
    code, verdicts = judged_again(tmp_path / "copy", name, changes)
    assert code == 1
    assert verdicts.count(verdict) == 1


@pytest.mark.parametrize(("measured", "verdict"), [(1.05, "pass"), (1.2, "fail"), (math.nan, "fail")])
def test_a_check_passes_within_its_tolerance_only(measured, verdict):
    assert check("c", "q", "w", measured, 1.0, 0.1).verdict == verdict


@pytest.mark.parametrize(("held", "verdict"), [(True, "held"), (False, "not held")])
def test_a_finding_is_a_result_either_way(held, verdict):
    row = finding("c", "q", "w", 0.5, held)
    assert (row.verdict, row.kind) == (verdict, "finding")


def own_judge(name, claim, frame):
    """A judge of the user's own: the share of runs with a fit."""
    return [finding(name, "share fitted", "all", float(frame["alpha_long"].notna().mean()), held=True)]


def test_a_judge_of_ones_own_is_found_by_its_name(smoke, monkeypatch):
    monkeypatch.setenv("SUPERDYN_PACKAGES", "test_reproduce")
    _, folder, _ = smoke
    frame = load_sweep(folder)
    rows = judge("mine", claim("test_reproduce:own_judge"), frame, list(frame["signature"]))
    (row,) = rows
    assert isinstance(row, ClaimRow)
    found = (row.claim, row.quantity, row.condition, row.measured, row.verdict, row.kind, row.note)
    assert found == ("mine", "share fitted", "all", 1.0, "held", "finding", "")
    assert np.isnan([row.expected, row.low, row.high]).all()
    with pytest.raises(ValueError, match=r"claim\.judge='nobody'"):
        judge("mine", claim("nobody"), frame, list(frame["signature"]))


def test_an_experiment_without_a_claim_is_refused(smoke):
    _, folder, _ = smoke
    with pytest.raises(ValueError, match="experiment=mine: has no claim"):
        judge_claims({"mine": Experiment(None, ())}, folder)


def test_claims_come_in_the_order_in_which_they_build_on_each_other():
    assert claim_names()[:2] == ["sequential", "travelling_wave"]


def test_without_a_name_the_claims_of_the_paper_are_meant_and_others_get_a_folder_of_their_own(monkeypatch):
    launched = []
    monkeypatch.setattr("superdyn.reproduce.train", lambda overrides: launched.append(overrides))
    for claims in ([], ["ceiling"], ["embedding_decay"]):
        with pytest.raises(AssertionError):
            reproduce(claims, "smoke", None)
    (_, paper, _, shared), (_, ceiling, _, same), (_, decay, _, own) = launched
    assert paper == "experiment=sequential,travelling_wave,bottleneck,universality,acceleration,ceiling"
    assert (ceiling, decay) == ("experiment=ceiling", "experiment=embedding_decay")
    assert (shared, same) == ("hydra.sweep.dir=runs/reproduce-smoke",) * 2
    assert own == "hydra.sweep.dir=runs/reproduce-embedding_decay-smoke"
