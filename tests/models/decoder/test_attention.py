"""Attention looks back only, shares keys among heads, and sees rotary positions by their differences."""

import pytest
import torch

from superdyn.config.decoder import DecoderSettings
from superdyn.models.decoder.attention import causal_attention
from superdyn.models.decoder.language_model import LanguageModel
from superdyn.models.decoder.rotary import rotary_tables, rotated


@pytest.mark.parametrize("positions", ["rotary", "learned", "none"])
def test_a_later_token_changes_no_earlier_logit(positions):
    shape = DecoderSettings(n_layers=2, context=16, positions=positions).shape(width=32)
    model = LanguageModel(shape, [0], 50)
    tokens = torch.randint(50, (1, 2, 16))
    changed = tokens.clone()
    changed[:, :, 9] = (tokens[:, :, 9] + 1) % 50
    before, after = model(tokens), model(changed)
    torch.testing.assert_close(before[:, :, :9], after[:, :, :9], rtol=0, atol=0)
    assert not torch.equal(before[:, :, 9:].amax(-1), after[:, :, 9:].amax(-1))


@pytest.mark.parametrize("t", [8, 7])
def test_grouped_queries_use_the_keys_of_their_group(t):
    query, key, value = torch.randn(2, 3, 6, t, 8), torch.randn(2, 3, 2, t, 8), torch.randn(2, 3, 2, t, 8)
    repeated = (x.repeat_interleave(3, dim=2) for x in (key, value))
    torch.testing.assert_close(causal_attention(query, key, value), causal_attention(query, *repeated))


def test_rotary_products_depend_on_the_difference_of_positions():
    cos, sin = rotary_tables(64, 16, 10000.0, torch.float64)
    query, key = torch.randn(2, 16, dtype=torch.float64)
    turned_query, turned_key = (rotated(x.expand(64, 16), cos, sin) for x in (query, key))
    products = turned_query @ turned_key.T
    for offset in (0, 1, 17):
        along = products.diagonal(offset)
        torch.testing.assert_close(along, along[:1].expand_as(along), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(turned_query.norm(dim=1), query.norm().expand(64))
    assert not torch.allclose(products.diagonal(0)[0], products.diagonal(1)[0])
