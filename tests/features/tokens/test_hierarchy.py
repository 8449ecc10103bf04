"""The hierarchical language against a list of all its sentences."""

import itertools
from collections import Counter

import numpy as np
import pytest
import torch

from superdyn.features.tokens.hierarchy import HierarchicalTokens
from superdyn.features.tokens.synthetic import SyntheticTokens
from superdyn.features.tokens.zipf import entropy


def sentences(law):
    """Probability of every sentence, by expanding every tree."""
    found = Counter()
    for root, p in enumerate(law.root):
        texts = {(root,): p}
        for table in law.tables:
            longer = Counter()
            for text, q in texts.items():
                for rules in itertools.product(range(len(law.rule)), repeat=len(text)):
                    children = [table[symbol, rule].tolist() for symbol, rule in zip(text, rules, strict=True)]
                    longer[tuple(itertools.chain(*children))] += q * np.prod(law.rule[list(rules)])
            texts = longer
        found.update(texts)
    return found


GRAMMARS = [
    {"vocabulary_size": 6, "symbols": 4, "rules": 3, "exponent": 1.0, "depth": 2},
    {"vocabulary_size": 5, "symbols": 3, "rules": 2, "exponent": 0.5, "depth": 3},
    {"vocabulary_size": 5, "symbols": 3, "rules": 3, "exponent": 2.0, "depth": 1, "branching": 3},
    {"vocabulary_size": 4, "symbols": 4, "rules": 4, "exponent": 1.0, "depth": 1},
]


@pytest.fixture(params=GRAMMARS, ids=range(len(GRAMMARS)))
def law(request):
    return HierarchicalTokens(**request.param)


def test_the_cross_entropy_is_the_entropy_of_the_sentences(law):
    p = np.array(list(sentences(law).values()))
    assert p.sum() == pytest.approx(1, rel=1e-12)
    assert law.cross_entropy() == pytest.approx(entropy(p) / law.unit, rel=1e-12)


def test_the_next_tokens_of_whole_sentences_have_their_probability(law):
    batch, known = SyntheticTokens(law, law.unit * 3, 200, seed=1).batch(0), sentences(law)
    begins = Counter()
    for text, p in known.items():
        begins[text[0]] += p
    for inputs, targets, found in zip(*batch, law.next_log_probabilities(*batch), strict=True):
        texts = map(tuple, inputs.reshape(-1, law.unit).tolist())
        p = np.prod([known[text] for text in texts]) / begins[int(inputs[0])] * begins[int(targets[-1])]
        assert float(found) == pytest.approx(np.log(p), rel=1e-12)


def test_what_is_no_sentence_is_refused(law):
    batch = SyntheticTokens(law, law.unit, 200, seed=1).batch(0)
    with pytest.raises(ValueError, match="a sentence"):
        law.next_log_probabilities(batch.inputs[:, 1:], batch.targets[:, 1:])
    if len(sentences(law)) < law.vocabulary_size**law.unit:
        every = torch.cartesian_prod(*[torch.arange(law.vocabulary_size)] * law.unit).reshape(-1, law.unit)
        with pytest.raises(ValueError, match="no sentence"):
            law.next_log_probabilities(every, every)


def test_frequencies_are_those_of_the_sentences(law):
    expected = np.zeros(law.vocabulary_size)
    for text, p in sentences(law).items():
        for token in text:
            expected[token] += p / law.unit
    np.testing.assert_allclose(law.frequencies, expected, atol=1e-12)


def test_drawn_sentences_have_their_probabilities(law):
    drawn = SyntheticTokens(law, law.unit * 4, 20_000, seed=0).batch(0).inputs.reshape(-1, law.unit)
    counts, known = Counter(map(tuple, drawn.tolist())), sentences(law)
    assert set(counts) <= set(known)
    n = len(drawn)
    z = [(counts[text] - n * p) / np.sqrt(n * p * (1 - p)) for text, p in known.items() if n * p > 25]
    assert np.abs(z).max() < 5
    assert abs(np.mean(np.square(z)) - 1) < 6 * np.sqrt(2 / len(z))


def test_the_best_loss_of_a_context_of_whole_sentences_is_the_cross_entropy():
    """By the chain rule over a window of T + 1 tokens, whose last one begins the next sentence."""
    law = HierarchicalTokens(**GRAMMARS[0])
    known = sentences(law)
    prefixes = [Counter() for _ in range(law.unit + 1)]
    for text, p in known.items():
        for length in range(law.unit + 1):
            prefixes[length][text[:length]] += p
    up_to = [entropy(np.array(list(counter.values()))) for counter in prefixes]
    # Targets 2 … B^L of the sentence given what is before, then the first token of the next.
    total = (up_to[law.unit] - up_to[1]) + up_to[1]
    assert total / law.unit == pytest.approx(law.cross_entropy(), rel=1e-12)


def test_rules_of_a_level_have_different_right_hand_sides():
    for table in HierarchicalTokens(100, symbols=20, rules=20, exponent=1.0, depth=3).tables:
        rows = table.reshape(-1, table.shape[-1]).tolist()
        assert len(set(map(tuple, rows))) == len(rows) == 400


def test_a_sentence_has_one_tree(law):
    trees = len(law.root) * np.prod([len(law.rule) ** (law.branching**level) for level in range(law.depth)])
    assert len(sentences(law)) == trees
