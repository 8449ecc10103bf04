"""Settings of decoder blocks, and the dial that derives width, depth, heads, learning rate and batch from one number.

The dial's number is `size`, about the weights N of attention and MLP (embeddings not counted, as in Kaplan et al. 2020,
so that the vocabulary does not matter), or the depth `n_layers` alone. A layer has c·width² weights, c = 4 for
attention and 2 (GELU, ReLU) or 3 (SwiGLU) times `mlp_ratio` for the MLP. The depth is the one at which width = 64·depth
(GPT-2's 768 at 12), at least 2. Learning rate (of AdamW) and tokens of a batch: Bi et al. 2024 (DeepSeek LLM),
η = 0.3118 C^-0.1250, B = 0.2920 C^0.3271, at C = 6ND FLOPs with D = 20N tokens (Hoffmann et al. 2022); they fitted
C = 1e17 to 2e19, other sizes extrapolate. Imports no torch.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from superdyn.config.section import Count, NonNegative, Positive, Section
from superdyn.config.validation import ConfigError, validated

_ASPECT = 64
"""Width per layer."""
_TOKENS_PER_WEIGHT = 20
_SUFFIXES = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9}


def _number_of_weights(value: Any) -> Any:
    """`100k`, `1M`, `1B`, `1e6` or a whole number as int; anything but text as it is, to be refused by its type."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?(?:e\+?\d+)?)([kmb]?)", str(value).lower())
    if found is None and isinstance(value, str):
        raise ValueError("should be a number of weights such as 100k, 1M or 1.5B")
    if found is None or isinstance(value, bool):
        return value
    return round(float(found.group(1)) * _SUFFIXES[found.group(2)])


Size = Annotated[int, BeforeValidator(_number_of_weights), Field(ge=1000, le=10**11)]


@dataclass(frozen=True)
class DecoderShape:
    """Everything that fixes the tensors and operations of the blocks; made by `DecoderSettings.shape`."""

    width: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    mlp_width: int
    mlp: Literal["gelu", "relu", "swiglu"]
    norm: Literal["layer", "rms"]
    norm_eps: float
    positions: Literal["rotary", "learned", "none"]
    rope_base: float
    context: int
    bias: bool
    tied: bool
    head_rank: int | None
    init_scale: float
    residual_scaling: bool

    @property
    def head_width(self) -> int:
        return self.width // self.n_heads

    @property
    def block_weights(self) -> int:
        """N: weights of the matrices of attention and MLP in all layers."""
        attention = 2 * self.width**2 + 2 * self.width * self.n_kv_heads * self.head_width
        return self.n_layers * (attention + _mlp_matrices(self.mlp) * self.width * self.mlp_width)

    @property
    def learning_rate(self) -> float:
        """The dial's peak learning rate for AdamW."""
        return 0.3118 * self._compute**-0.1250

    @property
    def batch_sequences(self) -> int:
        """The dial's batch, in sequences of `context` positions."""
        return max(1, round(0.2920 * self._compute**0.3271 / self.context))

    @property
    def _compute(self) -> float:
        return 6.0 * _TOKENS_PER_WEIGHT * max(1, self.block_weights) ** 2

    def check_length(self, length: int) -> None:
        """Refuse sequences that are longer than the context.

        Raises:
            ConfigError: they are.
        """
        if length > self.context:
            raise ConfigError(
                f"model.decoder.context={self.context}: shorter than the sequences of {length} positions; allowed is "
                f"{length} or more."
            )


class DecoderSettings(Section):
    """Keys under `model.decoder`; None is derived by `shape`.

    `mlp_ratio`: None is 4, for swiglu 8/3 (the same number of weights). `bias`: of the linear maps and the layer norm.
    GPT-2: gelu, layer, learned, bias. Llama: swiglu, rms, rotary, no bias, `n_kv_heads` below `n_heads`.
    `head_rank`: the unembedding is (V × rank)(rank × width). `init_scale`: standard deviation of initial weights;
    `residual_scaling` divides it by √(2·layers) for the maps that write into the residual stream (Radford et al. 2019).
    """

    size: Size | None = None
    n_layers: Annotated[int, Field(ge=0)] | None = None
    n_heads: Count | None = None
    n_kv_heads: Count | None = None
    mlp_ratio: Positive | None = None
    mlp: Literal["gelu", "relu", "swiglu"] = "gelu"
    norm: Literal["layer", "rms"] = "layer"
    norm_eps: Positive = 1e-5
    positions: Literal["rotary", "learned", "none"] = "rotary"
    rope_base: Positive = 10000.0
    context: Count = 64
    bias: bool = False
    head_rank: Count | None = None
    init_scale: NonNegative = 0.02
    residual_scaling: bool = True

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> "DecoderSettings":
        """Validate plain data.

        Raises:
            ConfigError: one sentence that names the key, the value and what is allowed.
        """
        return validated(cls, mapping, "model.decoder")

    def shape(self, *, width: int | None = None, tied: bool = True) -> DecoderShape:
        """The shape that these settings and `model.width`, `model.tied` mean; what is given overrides the dial.

        Raises:
            ConfigError: for a combination that cannot be built.
        """
        ratio = self.mlp_ratio or (8 / 3 if self.mlp == "swiglu" else 4.0)
        n_layers, width = self._depth_and_width(width, 4 + _mlp_matrices(self.mlp) * ratio)
        n_heads = self.n_heads or derived_heads(width)
        shape = DecoderShape(
            width=width,
            n_layers=n_layers,
            n_heads=n_heads,
            n_kv_heads=self.n_kv_heads or n_heads,
            mlp_width=_mlp_width(width, ratio),
            tied=tied,
            **self.model_dump(exclude={"size", "n_layers", "n_heads", "n_kv_heads", "mlp_ratio"}),
        )
        _check(shape)
        return shape

    def _depth_and_width(self, width: int | None, weights_per_layer: float) -> tuple[int, int]:
        n_layers = self.n_layers
        if self.size is None:
            if n_layers is None or (width is None and n_layers == 0):
                raise ConfigError(
                    f"model.decoder.n_layers={n_layers}, model.width={width}: do not fix the size of the model; "
                    f"give model.decoder.size, or n_layers above 0, or both n_layers and model.width."
                )
            return n_layers, width or _ASPECT * n_layers
        if width is None:
            depth = (
                max(1, n_layers)
                if n_layers is not None
                else max(2, round((self.size / (weights_per_layer * _ASPECT**2)) ** (1 / 3)))
            )
            width = _rounded_width(math.sqrt(self.size / (weights_per_layer * depth)))
        if n_layers is None:  # from the rounded width, so that giving a size and its own width is giving the size
            n_layers = max(1, round(self.size / (weights_per_layer * width**2)))
        return n_layers, width


def derived_heads(width: int) -> int:
    """The most heads that divide `width` and are at least 16 (from width 128 on 32, from 512 on 64) and evenly wide."""
    narrowest = _head_width(width)
    return next((h for h in range(width // narrowest, 1, -1) if width % h == 0 and width // h % 2 == 0), 1)


def _head_width(width: float | int) -> int:
    return 64 if width >= 512 else 32 if width >= 128 else 16


def _rounded_width(width: float | int) -> int:
    head = _head_width(width)
    return head * max(1, round(width / head))


def _mlp_matrices(mlp: str) -> int:
    return 3 if mlp == "swiglu" else 2


def _mlp_width(width: int, ratio: float) -> int:
    """ratio·width where it is a whole number, else the nearest multiple of 16."""
    exact = ratio * width
    return round(exact) if math.isclose(exact, round(exact)) else 16 * max(1, round(exact / 16))


def _check(shape: DecoderShape) -> None:
    if shape.width % shape.n_heads:
        raise ConfigError(
            f"model.decoder.n_heads={shape.n_heads}: must divide model.width={shape.width}; allowed are its divisors."
        )
    if shape.n_heads % shape.n_kv_heads:
        raise ConfigError(
            f"model.decoder.n_kv_heads={shape.n_kv_heads}: must divide model.decoder.n_heads={shape.n_heads}; allowed "
            f"are its divisors."
        )
    if shape.positions == "rotary" and shape.n_layers and shape.head_width % 2:
        raise ConfigError(
            f"model.decoder.positions=rotary: rotates pairs of dimensions, and a head has {shape.head_width}; allowed "
            f"are an even model.width/n_heads, or positions=learned or none."
        )
    if shape.head_rank is not None and shape.tied:
        raise ConfigError(
            f"model.decoder.head_rank={shape.head_rank}: a factorised unembedding cannot be the embedding; allowed "
            f"with model.tied=false."
        )
    if shape.head_rank is not None and shape.head_rank > shape.width:
        raise ConfigError(
            f"model.decoder.head_rank={shape.head_rank}: larger than model.width={shape.width}, so it restricts "
            f"nothing; allowed are 1 to {shape.width}."
        )


def dial_table() -> str:
    """What `size` gives from 100 k to 1 B, as Markdown."""
    rows = ["| size | layers | width | heads | N | learning rate | tokens a batch |", "|---|---|---|---|---|---|---|"]
    for size in ("100k", "300k", "1M", "3M", "10M", "30M", "100M", "300M", "1B"):
        shape = DecoderSettings(size=size, context=1024).shape()  # pyright: ignore[reportArgumentType]
        tokens = shape.batch_sequences * shape.context
        numbers = f"{shape.n_layers} | {shape.width} | {shape.n_heads} | {shape.block_weights:,}"
        rows.append(f"| {size} | {numbers} | {shape.learning_rate:.2e} | {tokens:,} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(dial_table())
