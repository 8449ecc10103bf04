"""The language models of a pack, built from the members' configurations; `model=language_model` names this class.

Everything else is `models/decoder/language_model.py`. Axis legend: `r` run.
"""

from collections.abc import Sequence

from superdyn.config import RunConfig
from superdyn.config.sequence_rules import decoder_shape
from superdyn.models.decoder.language_model import LanguageModel
from superdyn.models.protocol import DTYPES


class TokenStudent(LanguageModel):
    """One stacked language model per configuration; parameters are float32 under bf16-mixed too."""

    def __init__(self, configs: Sequence[RunConfig]):
        model, trainer = configs[0].model, configs[0].trainer
        super().__init__(
            decoder_shape(model),
            [config.seed for config in configs],
            configs[0].data.n_features,
            dtype=DTYPES[trainer.precision],
        )
        self.encoder.requires_grad_(model.train_encoder)
        self.blocks.recompute = trainer.checkpoint_activations
