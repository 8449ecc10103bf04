"""A batch of sequences is a list of samples that only (seed, step, sequence, position) decide."""

import pytest
import torch

from superdyn.features.datamodule import FeatureDataModule

T, SEQUENCES = 6, 10


def steps_of(config, start=0, stop=3, **ranks):
    batches = FeatureDataModule([config], [0, 40], **ranks).stream.draws.batches(start, stop)
    return torch.stack([batches.step(t).dense().clone() for t in range(stop - start)])[:, 0]  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("sampler", ["sparse", "dense"])
@pytest.mark.parametrize("n_features", [16, 200])
def test_position_p_of_sequence_j_of_step_t_is_sample_tb_plus_j_times_t_plus_p(sampler, n_features, run_config):
    common = {"n_features": n_features, "sampler": sampler}
    sequences = run_config(kind="sequences", length=T, batch_size=SEQUENCES, **common)
    vectors = run_config(batch_size=SEQUENCES * T, **common)
    assert torch.equal(steps_of(sequences), steps_of(vectors))
    assert torch.equal(steps_of(sequences, 2), steps_of(sequences)[2:])


def test_a_rank_draws_whole_sequences_of_the_one_batch(run_config):
    config = run_config(kind="sequences", length=T, batch_size=SEQUENCES)
    parts = [steps_of(config, rank=rank, world_size=2) for rank in range(2)]
    assert parts[0].shape[1] == SEQUENCES // 2 * T
    assert torch.equal(torch.cat(parts, dim=1), steps_of(config))


def test_a_chunk_of_sequences_holds_fewer_steps_than_one_of_as_many_vectors(run_config):
    long = {"kind": "sequences", "length": 64, "batch_size": 4096}
    many = {"trainer": {"chunk_steps": 1000, "max_steps": 1000}}
    streams = [FeatureDataModule([run_config(**many, **d)], [0, 1000]).stream for d in (long, {"batch_size": 4096})]
    assert streams[0].steps_per_chunk < streams[1].steps_per_chunk
