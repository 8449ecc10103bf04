"""Estimated memory against what trainings take of a GPU, what does not fit on this device, and what the doctor sees.

Tests marked `gpu` are skipped where there is none; refusals are tried on the CPU too.
"""

import re

import pytest
import torch
from training.token_runs import TOKENS

from superdyn.cli import main
from superdyn.config import ConfigError
from superdyn.doctor import check_devices
from superdyn.sweeps.member_memory import member_bytes
from superdyn.training.memory import RUNTIME_BYTES, check_memory, free_bytes, token_bytes

DEVICES = ["cpu", pytest.param("gpu", marks=pytest.mark.gpu)]
TEN_MILLION = {
    **TOKENS, "data__n_features": 8192, "data__length": 256, "data__batch_size": 64,
    "data__tokens": {"source": "zipf", "eval_tokens": 4096},
    "model__width": 384, "model__decoder": {"n_layers": 6, "n_heads": 6, "context": 256},
    "trainer__max_steps": 3, "trainer__accelerator": "gpu",
}  # fmt: skip
CASES = {
    "float32": {"trainer__compile": False},
    "rounded": {"trainer__compile": False, "trainer__precision": "bf16-mixed"},
    "rounded, compiled": {"trainer__precision": "bf16-mixed"},
    "rounded, compiled, in parts": {"trainer__precision": "bf16-mixed", "trainer__accumulate": 2},
}
STUDENTS = {
    "data__n_features": 2048, "data__batch_size": 512, "model__width": 512, "optimizer__name": "adam",
    "optimizer__lr": 0.001, "trainer__accelerator": "gpu", "trainer__max_steps": 8,
    "launcher__max_pack_size": 32,
}  # fmt: skip


def taken_bytes(train_together, configs):
    """The most that their training holds of the GPU at once."""
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    folders = train_together(configs)
    assert {folder.status().state for folder in folders} == {"done"}
    return torch.cuda.max_memory_allocated() - before


@pytest.mark.gpu
@pytest.mark.parametrize("case", CASES)
def test_the_estimate_is_near_what_a_language_model_takes_of_a_gpu(case, make_config, train_together):
    config = make_config(**{**TEN_MILLION, **CASES[case]})
    taken = taken_bytes(train_together, [config])
    assert 0.9 * taken < RUNTIME_BYTES + token_bytes(config) < 2 * taken


@pytest.mark.gpu
@pytest.mark.parametrize("compiled", [False, True])
def test_the_estimate_is_near_what_a_pack_takes_of_a_gpu(compiled, make_config, train_together):
    configs = [make_config(seed=seed, trainer__compile=compiled, **STUDENTS) for seed in range(32)]
    taken = taken_bytes(train_together, configs)
    estimated = sum(member_bytes(config) for config in configs)
    assert taken / 1.5 < estimated < 1.5 * taken


@pytest.mark.parametrize("accelerator", DEVICES)
def test_what_does_not_fit_on_this_device_is_refused_with_the_least_change_that_fits(accelerator, make_config):
    changes = {**TOKENS, "trainer__accelerator": accelerator}
    free, batch = free_bytes(make_config(**changes)), 8
    while token_bytes(make_config(**{**changes, "data__batch_size": batch})) < 2 * free:
        batch *= 2
    changes["data__batch_size"] = batch
    with pytest.raises(ConfigError, match=r"^model\.decoder: .* GiB are free; the smallest change .*\.$") as refused:
        check_memory(make_config(**changes), free)
    parts = int(re.findall(r"that fits is trainer\.accumulate=(\d+)\.$", str(refused.value))[0])
    check_memory(make_config(**changes, trainer__accumulate=parts), free)
    with pytest.raises(ConfigError):
        check_memory(make_config(**changes, trainer__accumulate=parts // 2), free)


@pytest.mark.parametrize("accelerator", DEVICES)
def test_the_command_refuses_a_model_that_this_device_cannot_hold(accelerator, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = ["data.n_features=64", "data.length=16", "data.batch_size=1", "data.tokens.eval_tokens=512"]
    large = ["model.decoder.size=null", "model.decoder.n_layers=200", "model.width=65536", "logger=none"]
    assert main(["train", "model=language_model", f"trainer.accelerator={accelerator}", *small, *large]) == 2
    (sentence,) = capsys.readouterr().err.splitlines()
    assert re.search(r"GiB are free; the smallest change that fits is model\.decoder\.size=\d+[Mk]\.$", sentence)
    assert not list(tmp_path.rglob("config.yaml"))


@pytest.mark.gpu
def test_the_doctor_names_every_gpu_with_its_memory():
    gpus = [check for check in check_devices() if check.name.startswith("cuda:")]
    assert len(gpus) == torch.cuda.device_count()
    assert all(re.search(r"\d of \d+\.\d GiB free$", check.detail) for check in gpus)
    assert torch.cuda.get_device_name(0) in gpus[0].detail
