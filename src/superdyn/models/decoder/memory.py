"""Estimated memory of training one language model, from its shapes.

State: parameters, gradients, their flat copy, up to two moments and one temporary. Activations that autograd keeps of a
block, per token: the stream twice, both norms' outputs twice, queries, keys, values, the attended values and those of
the MLP up to four times; with recomputation only the stream, and one block whole. Losses are made in tiles.
"""

from superdyn.decoder_settings import DecoderShape
from superdyn.models.decoder.flops import parameter_count

_STATE_COPIES = 6
_TILE_BYTES = 3 * 64 * 2**20
"""Logits of a tile, their gradient and a temporary (`models/decoder/losses.py`)."""


def training_bytes(
    shape: DecoderShape, vocabulary: int, tokens: int, *, word: int = 4, halved: bool = False, recompute: bool = False
) -> int:
    """Bytes of one member.

    Args:
        tokens: of a microbatch on one device.
        word: bytes of a parameter.
        halved: whether products are made in bfloat16, so that about half of what they keep has two bytes.
        recompute: whether only the input of every block is kept.
    """
    state = _STATE_COPIES * word * parameter_count(shape, vocabulary, last_norm=True)
    kv_width = shape.n_kv_heads * shape.head_width
    block = 9 * shape.width + 2 * kv_width + (6 if shape.mlp == "swiglu" else 4) * shape.mlp_width
    kept = shape.n_layers * shape.width + block if recompute else shape.n_layers * block
    activations = tokens * kept * word * (3 if halved else 4) // 4
    ends = 4 * word * tokens * shape.width
    return state + activations + ends + min(3 * word * tokens * vocabulary, _TILE_BYTES)
