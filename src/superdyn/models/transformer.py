"""The small transformer as a student of a pack: `model=transformer`, whose blocks are `model.decoder`.

y_t = act(W_dᵀ P blocks(W_e x)_t) (`models/decoder/feature_transformer.py`). A batch is a list of samples, as for every
student; `data.length` neighbours are the positions of one sequence, and attention stays inside it.
Axis legend: `r` run, `m` position of all sequences, `n` feature.
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from superdyn.config import RunConfig
from superdyn.config.sequence_rules import decoder_shape
from superdyn.models.decoder.feature_transformer import FeatureTransformer
from superdyn.models.protocol import DTYPES


class Transformer(FeatureTransformer):
    """Stacked transformers, which may differ in `model.decoder.init_scale` besides the seed."""

    def __init__(self, configs: Sequence[RunConfig]):
        model, data = configs[0].model, configs[0].data
        assert model.encoder_init != "identity", "checked with the configuration"
        super().__init__(
            decoder_shape(model),
            [config.seed for config in configs],
            data.n_features,
            activation=model.activation,
            encoder_init=model.encoder_init,
            init_scales=[config.model.decoder.init_scale for config in configs if config.model.decoder is not None],
            dtype=DTYPES[configs[0].trainer.precision],
        )
        self._length = data.length

    def forward(self, x: Float[Tensor, "r m n"]) -> Float[Tensor, "r m n"]:
        """Outputs of every member at every position of its own sequences."""
        return super().forward(x.unflatten(1, (-1, self._length))).flatten(1, 2)
