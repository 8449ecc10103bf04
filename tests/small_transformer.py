"""A small transformer on sequences, as changes for `make_config`; every shape is a multiple of what is batched."""

from typing import Any

TRANSFORMER: dict[str, Any] = {
    "model___target_": "superdyn.models.transformer.Transformer", "model__name": "transformer",
    "model__core_init_scale": 0.0, "model__activation": "linear", "model__decoder__n_layers": 2,
    "model__decoder__n_heads": 2, "model__decoder__context": 8, "data__kind": "sequences", "data__length": 8,
    "data__batch_size": 16, "data__eval_size": 128,
}  # fmt: skip
