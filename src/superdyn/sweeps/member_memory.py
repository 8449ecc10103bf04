"""Estimated memory of one member of a pack, from shapes.

Parameters and optimizer state, the learning rate of every step, the evaluation set, and the activations of the larger
of a training batch and an evaluation block; a chunk of batches has a limit of its own.
"""

from superdyn.config import RunConfig
from superdyn.config.sequence_rules import decoder_shape
from superdyn.models.decoder.flops import parameter_count
from superdyn.training.evaluation import block_size
from superdyn.training.memory import token_bytes

_TILE = 64 * 2**20
"""Bytes of a residual that a member holds at once (`models/decoding.py`)."""

_LIVE_RESIDUALS = 4
_LIVE_ENCODED = 6
_LIVE_AUTOGRAD = 8
"""Copies alive at once of an N-wide residual, of a K-wide encoding, and of any activation under autograd."""

_STATE_COPIES = 6
"""Parameters, gradients, their flat copy, up to two moments, one temporary."""

_CELL_BYTES = 100
"""Of an active cell of the evaluation set, in both orders."""

_LIVE_FEATURES = 8
_LIVE_HIDDEN = 16
_LIVE_INNER = 6
"""The same of an N-wide, a K-wide and an MLP-wide array of a transformer: batch, outputs, residual and their gradients;
inputs and outputs of norms, queries, keys, values, their attention and its projection; what the MLP makes."""


def member_bytes(config: RunConfig) -> int:
    """Estimated memory of one member in bytes."""
    if config.data.kind == "tokens":
        return token_bytes(config)
    n, k, data = config.data.n_features, config.model.width, config.data
    word = 8 if config.trainer.precision == "64-true" else 4
    rates = word * config.trainer.max_steps
    evaluation = int(_CELL_BYTES * data.eval_size * data.length * (data.density + 1))
    if config.model.is_transformer:
        parameters = parameter_count(decoder_shape(config.model), n, last_norm=False)
        return rates + _STATE_COPIES * word * parameters + evaluation + word * _transformer_activations(config)
    state = rates + _STATE_COPIES * word * (2 * k * n + k * k)
    batch = max(data.batch_size, block_size(data)) * data.length
    if not config.model.is_student:
        return state + evaluation + _LIVE_AUTOGRAD * word * n * (n if config.loss == "population" else batch)
    if config.loss == "population":
        return state + _LIVE_RESIDUALS * word * k * n + min(word * n * n, _TILE)
    residual = min(word * batch * n, _TILE)
    return state + evaluation + _LIVE_RESIDUALS * residual + _LIVE_ENCODED * word * batch * k


def _transformer_activations(config: RunConfig) -> int:
    """Numbers of a step, or of the evaluation of a block of sequences, in which one layer lives at a time."""
    shape, data = decoder_shape(config.model), config.data
    features = _LIVE_FEATURES * data.n_features
    layer = _LIVE_HIDDEN * shape.width + _LIVE_INNER * shape.mlp_width
    trained = data.batch_size * (features + shape.n_layers * layer)
    return data.length * max(trained, block_size(data) * (features + min(shape.n_layers, 1) * layer // 2))
