"""Batches of every synthetic language: keyed by (seed, step, sample), so the same alone, packed and split."""

import numpy as np
import pytest
import torch

from superdyn.features.generator import Stream, uniforms
from superdyn.features.tokens.batch import TokenStream
from superdyn.features.tokens.bigram import BigramTokens
from superdyn.features.tokens.hierarchy import HierarchicalTokens
from superdyn.features.tokens.synthetic import TAG, SyntheticTokens, TokenLaw, device_uniforms
from superdyn.features.tokens.zipf import ZipfTokens

LAWS = {
    "zipf": lambda: ZipfTokens(1000, 1.2),
    "bigram": lambda: BigramTokens(1000, 1.0, 0.6),
    "hierarchy": lambda: HierarchicalTokens(1000, symbols=50, rules=10, exponent=1.0),
}
T, S = 16, 12


@pytest.fixture(params=LAWS)
def law(request):
    return LAWS[request.param]()


@pytest.mark.parametrize("seed", [0, 1, 2**63, 2**64 - 1])
@pytest.mark.parametrize("words", [1, 4, 9])
def test_the_numbers_are_those_of_the_host(seed, words):
    first = 12_345_678
    keys = torch.tensor([seed - 2**64 if seed >= 2**63 else seed, 5])
    drawn = device_uniforms(keys, Stream.EVAL, torch.arange(first, first + 7), words)
    for row, key in zip(drawn, (seed, 5), strict=True):
        np.testing.assert_array_equal(row, uniforms(key, Stream.EVAL, first, 7, words, TAG))


def test_batches_have_successors_as_targets_and_ids_of_the_vocabulary(law):
    assert isinstance(law, TokenLaw)
    stream = SyntheticTokens(law, T, S, seed=0)
    assert isinstance(stream, TokenStream)
    batch = stream.batch(3)
    assert batch.inputs.shape == batch.targets.shape == (S, T)
    assert batch.inputs.dtype == torch.int64
    assert torch.equal(batch.inputs[:, 1:], batch.targets[:, :-1])
    assert 0 <= int(batch.inputs.min()) <= int(batch.inputs.max()) < 1000


def test_any_step_is_drawn_alone_and_any_slice_of_it(law):
    stream = SyntheticTokens(law, T, S, seed=4)
    whole = [stream.batch(step) for step in range(5)]
    again = SyntheticTokens(law, T, S, seed=4)
    assert torch.equal(again.batch(3).targets, whole[3].targets)
    parts = [again.batch(2, slice(4 * rank, 4 * rank + 4)).inputs for rank in range(3)]
    assert torch.equal(torch.cat(parts), whole[2].inputs)
    assert not torch.equal(whole[2].inputs, whole[3].inputs)


def test_a_pack_reads_what_its_members_read_alone(law):
    seeds = [0, 3, 2**64 - 1]
    members = [SyntheticTokens(law, T, S, seed=seed) for seed in seeds]
    at_once = members[0].pack(seeds, 6)
    for r, member in enumerate(members):
        assert torch.equal(at_once.inputs[r], member.batch(6).inputs)
        assert torch.equal(at_once.targets[r], member.batch(6).targets)
    assert len({tuple(row.flatten().tolist()) for row in at_once.inputs}) == 3


def test_evaluation_draws_are_others(law):
    train = SyntheticTokens(law, T, S, seed=0).batch(0).inputs
    assert not torch.equal(SyntheticTokens(law, T, S, seed=0, stream=Stream.EVAL).batch(0).inputs, train)


def test_token_frequencies_are_the_known_ones(law):
    rows = SyntheticTokens(law, T, 20_000, seed=1).batch(0).inputs.numpy()
    assert law.frequencies.sum() == pytest.approx(1, abs=1e-12)
    # Per sample and token: tokens of a sample depend on each other.
    for token in np.argsort(-law.frequencies)[[0, 1, 5, 30]]:
        per_sample = (rows == token).mean(axis=1)
        error = per_sample.std() / np.sqrt(len(rows))
        assert abs(per_sample.mean() - law.frequencies[token]) < 4.5 * error


@pytest.mark.gpu
def test_a_gpu_draws_what_the_cpu_draws(law):
    on_cpu = SyntheticTokens(law, 64, 256, seed=9).batch(11)
    on_gpu = SyntheticTokens(law.to("cuda"), 64, 256, seed=9).batch(11)
    assert on_gpu.inputs.is_cuda
    assert torch.equal(on_gpu.inputs.cpu(), on_cpu.inputs)
    assert torch.equal(on_gpu.targets.cpu(), on_cpu.targets)


REFUSED = [
    (lambda: ZipfTokens(0, 1.0), "vocabulary_size=0"),
    (lambda: ZipfTokens(10, -1.0), r"exponent=-1\.0"),
    (lambda: ZipfTokens(10, float("nan")), "exponent=nan"),
    (lambda: BigramTokens(10, 1.0, 1.5), r"strength=1\.5"),
    (lambda: BigramTokens(10, 1.0, 0.5, pieces=0), "pieces=0"),
    (lambda: HierarchicalTokens(10, 5, 21, 1.0, depth=1), "rules=21: 5 symbols need 105 .* 10 .* allow 100 of"),
    (lambda: HierarchicalTokens(100, 5, 6, 1.0), "rules=6: 5 symbols need 30 .* 5 .* allow 25"),
    (lambda: HierarchicalTokens(10, 5, 2, 1.0, depth=0), "depth=0"),
    (lambda: HierarchicalTokens(10, 5, 2, 1.0, branching=1), "branching=1"),
    (lambda: SyntheticTokens(ZipfTokens(10, 1.0), 0, 4, 0), "context=0"),
    (lambda: SyntheticTokens(LAWS["hierarchy"](), 18, 4, 0), "context=18: sentences have 4 tokens"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_what_is_not_allowed_is_refused(make, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        make()
