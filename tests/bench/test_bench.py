"""The competitors train one and the same model, and the ratios that the design rests on hold. Ratios, never times."""

import time
from statistics import median

import pytest
import torch

from superdyn.bench.equality import largest_difference, losses_on_shared_batches
from superdyn.bench.rivals.pack import Pack
from superdyn.bench.rivals.plain import PlainLoop
from superdyn.bench.workload import Workload, shared_batches
from superdyn.config import RunConfig
from superdyn.features import batching
from superdyn.features.datamodule import FeatureDataModule
from superdyn.training.engine import Engine
from superdyn.training.threads import cpu_threads


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_superdyn_and_the_plain_loop_reach_the_same_losses(optimizer):
    workload = Workload(2, 64, 32, 32, optimizer, lr=0.1 if optimizer == "sgd" else 1e-3)
    batches = torch.from_numpy(shared_batches(workload, 1, 30))
    plain = torch.tensor(PlainLoop(workload, "cpu").train(1, 30, batches))
    ours = Pack(workload, "cpu").losses(torch.stack([batches, batches], dim=1).numpy())[:, 1]
    torch.testing.assert_close(torch.from_numpy(ours), plain, rtol=1e-5, atol=0.0)
    assert plain[-1] != plain[0]


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_all_competitors_reach_the_same_losses(optimizer):
    lr = 0.1 if optimizer == "sgd" else 1e-3
    differences = largest_difference(losses_on_shared_batches(Workload(2, 64, 32, 32, optimizer, lr), 30))
    assert {"superdyn", "plain", "plain tuned", "lightning", "lightning tuned"} <= differences.keys()
    assert max(differences.values()) < 1e-4, differences


def seconds_per_run_step(runs, batch_size=32, chunk_steps=64, n_features=64, width=32, steps=128):
    """Median of five, drawing included."""
    configs = [Workload(runs, n_features, width, batch_size).config(run) for run in range(runs)]
    mappings = [config.to_mapping() for config in configs]
    for mapping in mappings:
        mapping["trainer"] |= {"max_steps": 10**6, "chunk_steps": chunk_steps}
    configs = [RunConfig.from_mapping(mapping) for mapping in mappings]
    engine = Engine(configs)
    engine.prepare()
    times = []
    with cpu_threads(configs):
        for _ in range(6):
            start = time.perf_counter()
            for chunk in FeatureDataModule(configs, [0, steps]).train_dataloader():
                if chunk.draws is not None:
                    engine.run(chunk.start, chunk.stop - chunk.start, chunk.draws.batches(chunk.start, chunk.stop))
            times.append((time.perf_counter() - start) / steps / runs)
    return median(times[1:])


@pytest.mark.slow
def test_a_pack_is_many_times_faster_than_runs_alone():
    assert seconds_per_run_step(1) / seconds_per_run_step(64) > 4


@pytest.mark.slow
def test_chunks_are_faster_than_single_steps():
    assert seconds_per_run_step(1, chunk_steps=1) / seconds_per_run_step(1, chunk_steps=64) > 1.2


@pytest.mark.slow
def test_sparse_batches_are_faster_than_dense_ones_where_features_are_many(monkeypatch):
    size = {"runs": 1, "n_features": 8192, "width": 32, "batch_size": 256, "steps": 8, "chunk_steps": 8}
    sparse = seconds_per_run_step(**size)
    monkeypatch.setattr(batching, "_ALL_DENSE_UP_TO", 10**6)
    assert seconds_per_run_step(**size) / sparse > 1.2
