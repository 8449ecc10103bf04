"""Estimated memory of one transformer of a pack, by counting what autograd keeps of every position.

Of N-wide arrays: the batch, the outputs, the residual and their gradients. Of a layer: inputs and outputs of norms,
queries, keys, values, their attention and its projection (widths of K), and what the MLP makes (its own width).
"""

from superdyn.config import RunConfig
from superdyn.config.sequence_rules import decoder_shape
from superdyn.models.decoder.flops import parameter_count

_LIVE_FEATURES = 8
_LIVE_HIDDEN = 16
_LIVE_INNER = 6
"""Copies alive at once, forward and backward, of an N-wide, a K-wide and an MLP-wide array."""


def transformer_parameters(config: RunConfig) -> int:
    """Numbers that one member trains."""
    return parameter_count(decoder_shape(config.model), config.data.n_features, last_norm=False)


def activation_bytes(config: RunConfig, word: int, block: int) -> int:
    """Memory of a step, or of an evaluation of `block` sequences, in which one layer lives at a time."""
    shape, data = decoder_shape(config.model), config.data
    features = _LIVE_FEATURES * data.n_features
    layer = _LIVE_HIDDEN * shape.width + _LIVE_INNER * shape.mlp_width
    trained = data.batch_size * (features + shape.n_layers * layer)
    return word * data.length * max(trained, block * (features + min(shape.n_layers, 1) * layer // 2))
