"""Parameters of a decoder, and a language model's floating-point operations per token (Chowdhery et al. 2022, B).

A product with an (o × i) matrix is 2·o·i a token forward and twice that backward (6N in all); attention is
4·length·width a layer forward and twice that backward, the causal half not discounted, nothing recomputed counted.
Norms, activations and the look-up of tokens are not counted.
"""

from superdyn.config.decoder import DecoderShape


def head_weights(shape: DecoderShape, n_features: int) -> int:
    """Weights of the unembedding, tied or not: width·n, or rank·(width + n)."""
    rank = shape.head_rank
    return shape.width * n_features if rank is None else rank * (shape.width + n_features)


def parameter_count(shape: DecoderShape, n_features: int, *, last_norm: bool) -> int:
    """Parameters of one member; `last_norm`: a language model has one, a feature transformer has not."""
    norm = shape.width * (2 if shape.bias and shape.norm == "layer" else 1)
    kv_width = shape.n_kv_heads * shape.head_width
    widened = 2 if shape.mlp == "swiglu" else 1
    biases = 2 * shape.width + 2 * kv_width + widened * shape.mlp_width + shape.width if shape.bias else 0
    positions = shape.context * shape.width if shape.positions == "learned" and shape.n_layers else 0
    embeddings = shape.width * n_features + (0 if shape.tied else head_weights(shape, n_features))
    norms = norm * (2 * shape.n_layers + last_norm)
    return shape.block_weights + shape.n_layers * biases + norms + positions + embeddings


def token_flops(shape: DecoderShape, vocabulary: int, length: int) -> int:
    """Operations, forward and backward, per token of one member on sequences of `length`."""
    products = 2 * (shape.block_weights + head_weights(shape, vocabulary))
    attention = 4 * shape.n_layers * length * shape.width
    return 3 * (products + attention)
