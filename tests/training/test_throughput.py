"""Tokens a second of a pack; a share of the peak only where the device's peak is known."""

import pytest
from training.token_runs import TOKENS

from superdyn.runs.progress import Progress
from superdyn.training.throughput import Throughput


def test_tokens_of_all_members_are_counted_and_a_cpu_has_no_mfu(make_config):
    throughput = Throughput.of([make_config(**TOKENS, seed=seed) for seed in range(3)])
    assert throughput is not None
    assert throughput.rates(2.0) == {"tokens_per_second": 2.0 * 3 * 8 * 16}
    assert Throughput.of([make_config()]) is None


def test_mfu_is_the_useful_share_of_the_peak(make_config, monkeypatch):
    throughput = Throughput([make_config(**TOKENS, trainer__precision="bf16-mixed")])
    monkeypatch.setattr(throughput, "_device", "NVIDIA H100 80GB HBM3")
    weights = 2 * 12 * 32**2 + 32 * 64  # blocks and unembedding
    flops = 6 * weights + 12 * 2 * 16 * 32
    assert throughput.rates(1e6)["mfu"] == pytest.approx(1e6 * 128 * flops / 989.5e12)
    double = Throughput([make_config(**TOKENS, trainer__precision="64-true")])
    monkeypatch.setattr(double, "_device", "NVIDIA H100 80GB HBM3")
    assert "mfu" not in double.rates(1e6)  # the table has no peak of float64


def test_the_progress_line_shows_tokens_of_language_models_only(make_config):
    progress = Progress(1)
    progress._throughput = Throughput.of([make_config(**TOKENS)])
    assert "tokens/s" in progress.line(10)
    assert "tokens/s" not in Progress(1).line(10)
