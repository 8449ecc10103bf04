"""Sweeps as tables and the result of a run, from folders written by the run's own writer and by real training."""

import json
import time

import numpy as np
import pytest

from superdyn.analysis import fit_table, load_curve, load_spectrum, load_sweep, run_result
from superdyn.runs.folder import RunFolder
from superdyn.runs.status import Status
from superdyn.theory import spectral_loss

STEPS = np.unique(np.concatenate([[0], np.logspace(0, 5, 120).round()])).astype(np.int64)
EXACT = {
    "loss": "population",
    "data__value_law": "signed",
    "model__width": 32,
    "model__train_encoder": False,
    "model__encoder_init": "identity",
    "model__activation": "linear",
    "model__core_init_scale": 0.0,
}


def write(path, config, *, done=True) -> RunFolder:
    """A run whose losses are those of the spectral sum."""
    folder, lr = RunFolder(path), config.optimizer.lr
    folder.prepare(config.to_mapping(), config.signature())
    law = {"data_exponent": config.data.data_exponent, "importance_exponent": config.data.importance_exponent}
    losses = spectral_loss(STEPS, n_features=32, lr=lr, per_feature=True, **law)
    folder.write_curve({"step": STEPS, "lr_time": lr * STEPS, "loss": losses.sum(axis=1)})
    folder.write_spectrum(STEPS, losses)
    folder.write_status(Status("done", int(STEPS[-1]), int(STEPS[-1]), config.signature(), path.name))
    if done:
        folder.write_result(run_result(path, n_boot=10))
    return folder


def test_run_result_has_the_fit_the_null_the_theory_and_the_half_times(tmp_path, make_config):
    folder = write(tmp_path / "run", make_config(**EXACT))
    result = folder.result()
    assert result is not None
    assert result["exact"] is True
    assert result["exact_deviation"] < 1e-6
    assert result["alpha_null_long"] == pytest.approx(result["alpha_long"])
    assert result["half_time_exponent"] == pytest.approx(1.5, abs=0.02)
    assert result["alpha_sequential"] == pytest.approx(1.0)
    json.dumps(result, allow_nan=False)


def test_trained_run_agrees_with_its_theory(train_together, make_config):
    config = make_config(**EXACT, trainer__max_steps=200, trainer__precision="64-true")
    (folder,) = train_together([config])
    result = run_result(folder.path)
    assert result["exact"] is True
    assert result["exact_deviation"] < 1e-9


def test_scheduled_run_is_fitted_in_lr_time(tmp_path, make_config):
    write(tmp_path / "run", make_config(**EXACT, optimizer__schedule="cosine"))
    constant = write(tmp_path / "other", make_config(**EXACT))
    result = run_result(tmp_path / "run", n_boot=10)
    assert result["axis"] == "lr_time"
    assert (constant.result() or {})["window"] == pytest.approx([10 * end for end in result["window"]])


def test_the_decay_of_a_wsd_is_not_fitted(tmp_path, make_config):
    decays = {"optimizer__schedule": "wsd", "optimizer__decay_fraction": 0.5}
    folder = write(tmp_path / "run", make_config(**EXACT, **decays, trainer__max_steps=int(STEPS[-1])))
    curve, end = folder.curve() or {}, 50_000
    fitted, cut = ((curve | {"loss": curve["loss"] * np.where(curve["step"] > end, f, 1)}) for f in (1.0, 0.1))
    results = []
    for changed in (fitted, cut):
        folder.write_curve(changed)
        results.append(run_result(folder.path, n_boot=10))
    assert results[0]["alpha_long"] == results[1]["alpha_long"] > 0.5
    assert results[1]["note"].startswith(f"the decay of the learning rate, from step {end} on, is not fitted")
    assert results[1]["loss_final"] == pytest.approx(0.1 * results[0]["loss_final"])


def test_sweep_table_has_configuration_result_and_nan_for_what_is_missing(tmp_path, make_config):
    configs = [make_config(seed=seed, **EXACT) for seed in range(3)]
    for seed, config in enumerate(configs):
        write(tmp_path / f"seed={seed}", config, done=seed < 2)
    frame = load_sweep(tmp_path)
    assert frame["run"].tolist() == ["seed=0", "seed=1", "seed=2"]
    assert frame["signature"].tolist() == [config.signature() for config in configs]
    assert frame["optimizer.lr"].tolist() == [0.1] * 3
    assert frame["alpha"].isna().tolist() == [False, False, True]
    assert (frame["alpha_low"] <= frame["alpha"]).tolist() == [True, True, False]
    assert frame.loc[0, "loss_initial"] == load_curve(tmp_path / "seed=0")["loss"][0]


def test_configuration_read_by_section_equals_the_flat_configuration(tmp_path, make_config):
    config = make_config(**EXACT, name="ratio: 1 # not a comment", logger__tags=["a", "b: c"])
    write(tmp_path / "run", config, done=False)
    (row,) = load_sweep(tmp_path / "run").to_dict("records")
    assert {key: row[key] for key in config.flat()} == config.flat()


def test_spectrum_has_a_row_per_measurement(tmp_path, make_config):
    write(tmp_path / "run", make_config(**EXACT), done=False)
    steps, losses = load_spectrum(tmp_path / "run")
    np.testing.assert_array_equal(steps, STEPS)
    assert losses.shape == (STEPS.size, 32)
    assert losses.dtype == np.float32


def test_two_thousand_runs_load_in_five_seconds(tmp_path, make_config):
    folder = write(tmp_path / "sweep" / "run0", make_config(**EXACT))
    for index in range(1, 2000):
        copy = tmp_path / "sweep" / f"run{index}"
        copy.mkdir()
        for name in ("status.json", "result.json"):
            (copy / name).hardlink_to(folder.path / name)
        text = (folder.path / "config.yaml").read_text()
        (copy / "config.yaml").write_text(text.replace("seed: 0", f"seed: {index}"))
    begin = time.process_time()
    frame = load_sweep(tmp_path / "sweep")
    assert time.process_time() - begin < 5
    assert sorted(frame["seed"]) == list(range(2000))


def test_folders_without_runs_or_measurements_are_refused(tmp_path, make_config):
    with pytest.raises(ValueError, match="holds no run; allowed"):
        load_sweep(tmp_path)
    config = make_config()
    RunFolder(tmp_path / "run").prepare(config.to_mapping(), config.signature())
    with pytest.raises(ValueError, match=r"has no curve\.parquet"):
        load_curve(tmp_path / "run")
    with pytest.raises(ValueError, match=r"has no spectrum\.parquet"):
        load_spectrum(tmp_path / "run")


def test_fit_table_of_a_sweep_names_its_runs(tmp_path, make_config):
    write(tmp_path / "one", make_config(**EXACT), done=False)
    frame = fit_table(tmp_path, n_boot=10)
    assert frame["run"].tolist() == ["one"]
    assert np.isfinite(frame["alpha"]).all()


def test_a_run_that_has_not_measured_yet_does_not_keep_the_others_from_being_fitted(tmp_path, make_config):
    write(tmp_path / "one", make_config(**EXACT), done=False)
    begun = make_config(seed=1)
    RunFolder(tmp_path / "two").prepare(begun.to_mapping(), begun.signature())
    frame = fit_table(tmp_path, n_boot=10)
    assert np.isfinite(frame["alpha"]).tolist() == [True, False]
    assert "no measurement yet" in frame["note"][1]
    with pytest.raises(ValueError, match=r"has no curve\.parquet"):
        fit_table(tmp_path / "two")


def test_a_run_whose_status_is_cut_short_counts_as_failed(tmp_path, make_config):
    write(tmp_path / "one", make_config(**EXACT))
    (tmp_path / "one" / "status.json").write_text("{")
    (row,) = load_sweep(tmp_path).to_dict("records")
    assert row["state"] == "failed"
    assert "cut short" in row["error"]
