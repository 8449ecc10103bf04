"""Small runs of language models, as changes for `make_config`."""

from typing import Any

TOKENS: dict[str, Any] = {
    "loss": "cross_entropy",
    "data__kind": "tokens", "data__n_features": 64, "data__data_exponent": 1.0, "data__importance_exponent": 0.0,
    "data__length": 16,
    "data__batch_size": 8, "data__tokens": {"source": "zipf", "eval_tokens": 512, "bins": 6},
    "model___target_": "superdyn.models.language_model.TokenStudent", "model__name": "language_model",
    "model__activation": "linear", "model__core_init_scale": 0.0,
    "model__width": 32, "model__decoder": {"n_layers": 2, "context": 16},
    "optimizer__name": "adamw", "optimizer__lr": 0.003, "optimizer__weight_decay": 0.1,
}  # fmt: skip

BIGRAM = {"source": "bigram", "strength": 0.9, "eval_tokens": 2048, "bins": 6}
GPT2 = {"n_layers": 2, "context": 16, "positions": "learned", "bias": True}
LLAMA = {"n_layers": 2, "context": 16, "mlp": "swiglu", "norm": "rms", "n_heads": 2, "n_kv_heads": 1}
