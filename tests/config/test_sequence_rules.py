"""Sequences and transformers that cannot be meant are refused in one sentence."""

import pytest
from small_transformer import TRANSFORMER

from superdyn.config import ConfigError

STUDENT = {"data__kind": "sequences", "data__length": 4}
REFUSED = {
    "length of vectors": ({"data__length": 2}, r"data\.length=2, data\.lag=0: .* data=sequences"),
    "lag of vectors": ({"data__lag": 1}, r"data\.length=1, data\.lag=1: data\.kind=features"),
    "lag beyond the sequence": (TRANSFORMER | {"data__lag": 8}, r"data\.lag=8: .* data\.length=8 .* are 0 to 7"),
    "lag of a student": (STUDENT | {"data__lag": 1}, r"data\.lag=1: the student family .* model=transformer"),
    "exact sequences": (STUDENT | {"loss": "population", "model__activation": "linear"}, r"loss=population: .* data"),
    "exact transformer": (
        TRANSFORMER | {"loss": "population", "data__kind": "features", "data__length": 1},
        r"loss=population: .* model=transformer",
    ),
    "context": (TRANSFORMER | {"model__decoder__context": 7}, r"model\.decoder\.context=7: .* allowed is 8 or more"),
    "no blocks": (TRANSFORMER | {"model__decoder": None}, r"model\.decoder=null: .*"),
    "blocks of a student": ({"model__decoder__n_layers": 1}, r"model\.decoder: the student family"),
    "heads": (TRANSFORMER | {"model__decoder__n_heads": 3}, r"model\.decoder\.n_heads=3: must divide model\.width=16"),
    "tokens": (TRANSFORMER | {"data__kind": "tokens"}, r"data\.kind=tokens: model=transformer"),
    "core": (TRANSFORMER | {"model__core": "identity"}, r"model\.core=identity: .* allows trained"),
    "core scale": (TRANSFORMER | {"model__core_init_scale": 0.1}, r"model\.core_init_scale=0\.1: .* allows 0\.0"),
    "frozen": (TRANSFORMER | {"model__train_encoder": False}, r"model\.train_encoder=False: .* allows True"),
    "offset": (TRANSFORMER | {"model__bias": True}, r"model\.bias=True: .* allows False"),
    "identity": (
        TRANSFORMER | {"model__encoder_init": "identity", "model__width": 32},
        r"model\.encoder_init=identity: .* orthogonal and gaussian",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused_in_one_sentence(case, make_config):
    changes, pattern = REFUSED[case]
    with pytest.raises(ConfigError, match=pattern) as refusal:
        make_config(**changes)
    assert str(refusal.value).count(". ") == 0
    assert str(refusal.value).endswith(".")


def test_only_the_initial_scale_of_a_decoder_may_differ_in_a_pack(make_config):
    plain = make_config(**TRANSFORMER).pack_key()
    assert make_config(**TRANSFORMER, model__decoder__init_scale=0.5).pack_key() == plain
    for key, value in {"n_layers": 1, "mlp": "relu", "context": 9, "bias": True, "residual_scaling": False}.items():
        assert make_config(**TRANSFORMER | {f"model__decoder__{key}": value}).pack_key() != plain, key
    assert make_config(**TRANSFORMER, data__lag=1).pack_key() != plain
