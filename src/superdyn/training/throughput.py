"""How many tokens a second a run trains, and which share of the devices' peak that is (model FLOPs utilisation)."""

from collections.abc import Sequence

import torch

from superdyn.config import RunConfig, TrainerConfig
from superdyn.config.sequence_rules import decoder_shape
from superdyn.features.device_draws import trains_on_gpu
from superdyn.models.decoder.flops import token_flops
from superdyn.models.decoder.hardware import Precision, model_flops_utilisation


class Throughput:
    """Of a pack of language models, all members and ranks together."""

    def __init__(self, configs: Sequence[RunConfig]):
        first = configs[0]
        data, model, trainer = first.data, first.model, first.trainer
        self._step_tokens = len(configs) * data.batch_size * data.length
        self._flops = token_flops(decoder_shape(model), data.n_features, data.length)
        self._precision: Precision | None = _product_precision(trainer)
        self._device = torch.cuda.get_device_name() if trains_on_gpu(trainer) else "CPU"
        self._n_ranks = trainer.n_ranks

    @classmethod
    def of(cls, configs: Sequence[RunConfig]) -> "Throughput | None":
        """None for runs that read no tokens."""
        return cls(configs) if configs[0].data.kind == "tokens" else None

    def rates(self, steps_per_second: float) -> dict[str, float]:
        """`tokens_per_second`, and `mfu` (0 to 1) on a device whose peak at this precision is known."""
        tokens = steps_per_second * self._step_tokens
        found = {"tokens_per_second": tokens}
        if self._precision is None:
            return found
        mfu = model_flops_utilisation(tokens, self._flops, self._device, self._precision, self._n_ranks)
        return found if mfu is None else found | {"mfu": mfu}


def _product_precision(trainer: TrainerConfig) -> Precision | None:
    """In what products are made; None for float64, whose peaks are not known."""
    if trainer.precision == "32-true":
        return "fp32" if trainer.matmul == "float32" else trainer.matmul
    return "bf16" if trainer.precision == "bf16-mixed" else None
