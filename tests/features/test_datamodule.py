"""Chunks: where they end, how large they are, and that only (seed, step, sample) decides their content."""

import tracemalloc

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment

from superdyn.features.datamodule import FeatureDataModule, chunk_ranges
from superdyn.features.generator import Stream
from superdyn.features.sampler import make_sampler

BOUNDARIES = [0, 1, 2, 5, 30, 40]


def _samples(configs, **options) -> torch.Tensor:
    """All samples of a training, (k, r, s, n)."""
    chunks = FeatureDataModule(configs, BOUNDARIES, **options).train_dataloader()
    batches = [(c.draws.batches(c.start, c.stop), c.stop - c.start) for c in chunks if c.draws is not None]
    return torch.stack([drawn.step(t).dense().clone() for drawn, n in batches for t in range(n)])  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("limit", [1, 3, 16, 1000])
@pytest.mark.parametrize("start", [0, 1, 7, 40])
def test_ranges_cover_every_step_once_and_end_at_every_boundary(start, limit):
    ranges = list(chunk_ranges(start, BOUNDARIES, limit))
    assert [step for a, b in ranges for step in range(a, b)] == list(range(start, 40))
    assert max((b - a for a, b in ranges), default=0) <= limit
    expected = {b for b in BOUNDARIES if b > start} | ({0} if start == 0 else set())
    assert expected <= {b for _, b in ranges}


def test_the_first_chunk_is_empty_only_at_the_start(run_config):
    first = next(iter(FeatureDataModule([run_config()], BOUNDARIES).train_dataloader()))
    assert first == (0, 0, None)
    resumed = next(iter(FeatureDataModule([run_config()], BOUNDARIES, start_step=5).train_dataloader()))
    assert (resumed.start, resumed.stop) == (5, 21)
    assert resumed.draws is not None


def test_a_member_sees_the_same_data_alone_and_in_a_pack(run_config):
    configs = [run_config(top={"seed": seed}, density=0.5 + seed, data_exponent=1 + seed) for seed in range(3)]
    pack = _samples(configs)
    for r, config in enumerate(configs):
        assert torch.equal(_samples([config])[:, 0], pack[:, r])


@pytest.mark.parametrize("sampler", ["dense", "sparse"])
def test_chunk_size_and_resuming_do_not_change_the_data(run_config, sampler):
    whole = _samples([run_config(sampler=sampler)])
    for steps in (1, 7, 64):
        config = run_config(sampler=sampler, trainer={"chunk_steps": steps})
        assert torch.equal(_samples([config]), whole)
        assert torch.equal(_samples([config], start_step=13), whole[13:])


@pytest.mark.parametrize("sampler", ["dense", "sparse"])
def test_the_slices_of_the_ranks_make_up_the_batch(run_config, sampler):
    configs = [run_config(top={"seed": seed}, sampler=sampler, density=3.0) for seed in (1, 2)]
    parts = [_samples(configs, rank=rank, world_size=4) for rank in range(4)]
    assert torch.equal(torch.cat(parts, dim=2), _samples(configs))


def test_the_stream_is_that_of_the_sampler(run_config):
    config = run_config(trainer={"precision": "64-true"})
    expected = make_sampler(config.data, config.seed).draw(Stream.TRAIN, 0, 40, dtype=np.float64)
    np.testing.assert_array_equal(_samples([config])[:, 0].numpy(), expected)


@pytest.mark.parametrize(("sampler", "members"), [("sparse", 1), ("sparse", 200), ("dense", 1)])
def test_a_chunk_takes_at_most_64_mebibytes_but_at_least_one_step(run_config, sampler, members):
    config = run_config(n_features=1024, batch_size=2048, sampler=sampler, trainer={"chunk_steps": 64})
    stream = FeatureDataModule([config] * members, BOUNDARIES).train_dataloader()
    steps = stream.steps_per_chunk
    assert 1 <= steps <= 64
    assert (steps == 1) == (members == 200)
    assert (steps < 8) == (members == 200 or sampler == "dense")
    if members == 1:
        sampler = stream.draws.samplers[0]  # pyright: ignore[reportAttributeAccessIssue]
        tracemalloc.start()
        sampler.step_points(Stream.TRAIN, 0, steps)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 64 * 2**20


def test_the_population_loss_draws_nothing_and_is_not_limited(run_config):
    config = run_config(top={"loss": "population"}, n_features=1024, batch_size=2048)
    chunks = list(FeatureDataModule([config], BOUNDARIES).train_dataloader())
    assert all(chunk.draws is None for chunk in chunks)
    assert max(chunk.stop - chunk.start for chunk in chunks) == 16


def test_a_batch_that_does_not_divide_over_the_ranks_is_refused(run_config):
    with pytest.raises(ValueError, match=r"^data\.batch_size=32: .*multiple of 3"):
        run_config(trainer={"strategy": "ddp", "devices": 3})


def test_drawing_leaves_the_global_generators_alone(run_config):
    before = torch.random.get_rng_state(), np.random.get_state(legacy=False)["state"]["key"]  # noqa: NPY002
    _samples([run_config()])
    assert torch.equal(before[0], torch.random.get_rng_state())
    np.testing.assert_array_equal(before[1], np.random.get_state(legacy=False)["state"]["key"])  # noqa: NPY002


class _Recorder(pl.LightningModule):
    """Keeps what the Trainer passes on."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.ranges: list[tuple[int, int]] = []
        self.steps_with_data = 0

    def training_step(self, chunk, _):
        self.ranges.append((chunk.start, chunk.stop))
        self.steps_with_data += 0 if chunk.draws is None else chunk.stop - chunk.start

    def configure_optimizers(self):
        return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)


@pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec.:FutureWarning")  # Lightning 2.6, torch 2.13
def test_the_trainer_takes_the_chunks_in_order_without_a_warning(run_config, tmp_path):
    module, data = _Recorder(), FeatureDataModule([run_config()], BOUNDARIES)
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        plugins=[LightningEnvironment()],  # where SLURM is installed Lightning warns of it otherwise
        default_root_dir=tmp_path,
    )
    trainer.fit(module, datamodule=data)
    assert module.ranges == [(0, 0), (0, 1), (1, 2), (2, 5), (5, 21), (21, 30), (30, 40)]
    assert module.steps_with_data == 40
