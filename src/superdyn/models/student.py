"""The student family of arXiv 2602.01045: y = act(W_dᵀ B W_e x + c), for a whole pack at once.

W_e and W_d are K×N (`encoder`, `decoder`; tied or not, trained or frozen), B is K×K (`core`), c is `bias`. A frozen
identity embedding is never multiplied: the student is then y = act(B x + c).
Axis legend: `r` run, `s` sample, `n` feature, `k` hidden.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from superdyn.config import RunConfig
from superdyn.features.batches import SparseBatch
from superdyn.models.chain import sampled_feature_loss, sampled_gradients
from superdyn.models.dense_chain import DenseChain
from superdyn.models.embedding import initial_core, initial_embedding
from superdyn.models.gradients import Gradients
from superdyn.models.measures import off_diagonal_energy
from superdyn.models.population import feature_loss, population_gradients
from superdyn.models.product import product
from superdyn.models.protocol import DTYPES
from superdyn.models.risk import Population
from superdyn.models.weights import Weights


class Student(nn.Module):
    """Stacked students that share the switches of `model`, but for those that may differ in a pack (`pack_key`).

    A part that only some members train is there for all; `untrained` says for whom it stands still.

    Attributes:
        untrained: (r,) by parameter name, for parts that not every member trains.
        encoder: (r, k, n) or None when it is the frozen identity.
        decoder: (r, k, n) or None when tied to the encoder or the frozen identity.
        core: (r, k, k) or None when B is the identity.
        bias: (r, n) or None.
    """

    encoder: Tensor | None
    decoder: Tensor | None
    core: Tensor | None
    bias: Tensor | None

    def __init__(self, configs: Sequence[RunConfig]):
        super().__init__()
        model = configs[0].model
        dtype = DTYPES[configs[0].trainer.precision]
        self.untrained: dict[str, Tensor] = {}
        self.rectified = model.activation == "relu"
        frozen_identity = model.encoder_init == "identity" and not model.train_encoder
        untied = not (model.tied or frozen_identity)
        trains_embedding = torch.tensor([c.model.train_encoder for c in configs])
        has_bias = torch.tensor([c.model.bias for c in configs])
        encoder = None if frozen_identity else _embeddings(configs, "encoder")
        decoder = _embeddings(configs, "decoder") if untied else None
        self._hold("encoder", encoder, trains_embedding, dtype)
        self._hold("decoder", decoder, trains_embedding, dtype)
        self._hold("core", _cores(configs) if model.core == "trained" else None, None, dtype)
        self._dense_chain: DenseChain | None = None
        bias = torch.zeros(len(configs), configs[0].data.n_features) if has_bias.any() else None
        self._hold("bias", bias, has_bias, dtype)

    def _hold(self, name: str, value: Tensor | None, trains: Tensor | None, dtype: torch.dtype) -> None:
        """Register a part; `trains` (r,) says which members train it, None: all."""
        value = None if value is None else value.to(dtype)
        if trains is None or trains.any():
            self.register_parameter(name, None if value is None else nn.Parameter(value))
            if value is not None and trains is not None and not trains.all():
                self.untrained[name] = ~trains
        else:
            self.register_buffer(name, value)

    def forward(self, x: Float[Tensor, "r s n"]) -> Float[Tensor, "r s n"]:
        """Outputs y of every member for its own samples."""
        hidden = x if self.encoder is None else product(x, self.encoder.mT)
        if self.core is not None:
            hidden = product(hidden, self.core.mT)
        decoder = self.encoder if self.decoder is None else self.decoder
        output = hidden if decoder is None else product(hidden, decoder)
        if self.bias is not None:
            output = output + self.bias[:, None, :]
        return torch.relu(output) if self.rectified else output

    def weights(self) -> Weights:
        """The parts as they are now."""
        trained = [name for name, parameter in self._parameters.items() if parameter is not None]
        return Weights(self.encoder, self.decoder, self.core, self.bias, self.rectified, trained)

    def trains_core_only(self) -> bool:
        """Whether B alone trains, behind a frozen embedding that is not the identity."""
        return self.encoder is not None and list(self.weights().trained) == ["core"]

    def linear_map(self) -> Float[Tensor, "r n n"]:
        """M = W_dᵀ B W_e, the Jacobian of the student before its activation."""
        return self.weights().linear_map()

    def off_diagonal_energy(self) -> Float[Tensor, "r"]:
        """Share of M's squares that is off its diagonal: how much of the map mixes features."""
        weights = self.weights()
        return off_diagonal_energy(weights.encoder, weights.core, weights.output_embedding)

    def offset(self) -> Float[Tensor, "r n"] | None:
        """The bias c, or None."""
        return self.bias

    def sampled_gradients(self, batch: SparseBatch, importance: Float[Tensor, "r n"]) -> Gradients:
        """Loss and gradients on a batch, written out for sparse data."""
        weights = self.weights()
        if batch.head_points is None or not DenseChain.serves(weights, batch.shape):
            return sampled_gradients(weights, batch, importance)
        if self._dense_chain is None or self._dense_chain.shape != batch.shape:
            self._dense_chain = DenseChain(weights, batch.shape)
        return self._dense_chain.gradients(weights, batch, importance)

    def sampled_feature_loss(
        self, batch: SparseBatch, importance: Float[Tensor, "r n"], weights: Float[Tensor, "r s"]
    ) -> Float[Tensor, "r n"]:
        """Σ_s w_s (y_si − A_ii x_si)² of every feature."""
        return sampled_feature_loss(self.weights(), batch, importance, weights)

    def population_feature_loss(self, population: Population) -> Float[Tensor, "r n"]:
        """Exact ℓ_i of a linear student, without an N × N array."""
        return feature_loss(self.weights(), population)

    def population_gradients(self, population: Population) -> Gradients:
        """Risk and exact gradients of a linear student."""
        return population_gradients(self.weights(), population)

    def embedding(self) -> Float[Tensor, "r k n"]:
        """W_e, one column per feature."""
        return self.weights().identity() if self.encoder is None else self.encoder


def _embeddings(configs: Sequence[RunConfig], tag: str) -> Float[Tensor, "r k n"]:
    shapes = [(c.seed, c.model.encoder_init, c.model.width, c.data.n_features) for c in configs]
    return torch.from_numpy(np.stack([initial_embedding(*shape, tag) for shape in shapes]))


def _cores(configs: Sequence[RunConfig]) -> Float[Tensor, "r k k"]:
    return torch.from_numpy(np.stack([initial_core(c.seed, c.model.width, c.model.core_init_scale) for c in configs]))
