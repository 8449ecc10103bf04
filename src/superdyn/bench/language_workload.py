"""The training job of the language suite: a decoder in the shape of GPT-2 on tokens of Zipf frequencies, with AdamW.

Pre-norm blocks with layer norm, learned positions, GELU, biases and a tied unembedding. Axis legend: `r` run.
"""

from dataclasses import asdict, dataclass
from typing import Any

from superdyn.config import RunConfig
from superdyn.config.decoder import DecoderSettings, DecoderShape
from superdyn.models.decoder.flops import parameter_count, token_flops

ZIPF_EXPONENT = 1.0
BETAS, WEIGHT_DECAY = (0.9, 0.95), 0.1
EQUALITY_STEPS = 20
"""Steps of which the losses of all competitors are compared."""


@dataclass(frozen=True)
class LanguageWorkload:
    """R runs of one shape that differ in their seed.

    Attributes:
        size: its name in the table.
        context: positions of a sequence; batch_size: sequences of an optimizer step, in `accumulate` parts.
    """

    size: str
    n_layers: int
    width: int
    n_heads: int
    vocabulary: int
    context: int
    batch_size: int
    accumulate: int = 1
    precision: str = "32-true"
    runs: int = 1
    lr: float = 1e-3

    @property
    def shape(self) -> DecoderShape:
        """Everything about the blocks."""
        return DecoderSettings.from_mapping(self._decoder()).shape(width=self.width)

    @property
    def parameters(self) -> int:
        """Of one run, embeddings included."""
        return parameter_count(self.shape, self.vocabulary, last_norm=True)

    @property
    def step_tokens(self) -> int:
        """Tokens of an optimizer step of one run."""
        return self.batch_size * self.context

    @property
    def token_flops(self) -> int:
        """Operations of a token, forward and backward, as `models/decoder/flops.py` counts them."""
        return token_flops(self.shape, self.vocabulary, self.context)

    def as_mapping(self) -> dict[str, Any]:
        """Plain data, of which it can be made again."""
        return asdict(self)

    def config(self, run: int, steps: int, device: str) -> RunConfig:
        """This job's run number `run` as superdyn trains it, measured once a decade."""
        return RunConfig.from_mapping(
            {
                "seed": run,
                "loss": "cross_entropy",
                "data": {
                    "kind": "tokens",
                    "n_features": self.vocabulary,
                    "data_exponent": ZIPF_EXPONENT,
                    "importance_exponent": 0.0,
                    "length": self.context,
                    "batch_size": self.batch_size,
                    "tokens": {"source": "zipf", "eval_tokens": 8 * self.context},
                },
                "model": {
                    "_target_": "superdyn.models.language_model.TokenStudent",
                    "name": "language_model",
                    "width": self.width,
                    "allow_overcomplete": True,
                    "decoder": self._decoder(),
                },
                "optimizer": {"name": "adamw", "lr": self.lr, "betas": BETAS, "weight_decay": WEIGHT_DECAY},
                "trainer": {
                    "max_steps": steps,
                    "points_per_decade": 1,
                    "precision": self.precision,
                    "accumulate": self.accumulate,
                    "accelerator": "gpu" if device == "cuda" else "cpu",
                    "progress": False,
                },
                "logger": {"name": "wandb"},
            }
        )

    def _decoder(self) -> dict[str, Any]:
        return {
            "n_layers": self.n_layers,
            "n_heads": self.n_heads,
            "context": self.context,
            "positions": "learned",
            "bias": True,
        }


def workloads(quick: bool, device: str) -> list[LanguageWorkload]:
    """The sizes, named by the weights of attention and MLP, but 124M, which is GPT-2 small and named by all of them."""
    if device == "cuda":
        small = LanguageWorkload("10M", 6, 384, 6, 50304, 1024, 64, 2, "bf16-mixed")
        gpt2 = LanguageWorkload("124M", 12, 768, 12, 50304, 1024, 64, 4, "bf16-mixed")
        large = LanguageWorkload("300M", 24, 1024, 16, 50304, 1024, 64, 8, "bf16-mixed")
        return [small] if quick else [gpt2, small, large]
    tiny = LanguageWorkload("100k", 2, 64, 4, 1024, 128, 24)
    pack = LanguageWorkload("100k", 2, 64, 4, 1024, 128, 24, runs=8)
    million = LanguageWorkload("1M", 3, 160, 5, 4096, 256, 8)
    ten = LanguageWorkload("10M", 6, 384, 6, 16384, 256, 4)
    return [tiny] if quick else [tiny, pack, million, ten]
