"""Estimated memory of training one language model, from its shapes.

State: parameters, gradients, their flat copy, up to two moments and one temporary. Activations that autograd keeps of a
block, per token: the stream twice, both norms' outputs twice, queries, keys, values, the attended values and those of
the MLP up to four times; with recomputation only the stream, and one block whole. Losses are made in tiles.
Sharded over W ranks the state is 1/W of it, and on top come whole parameters and gradients while they are used, twice
each since the ranks' shards lie side by side first: those of two blocks, of which one comes early, and of the ends.
"""

from superdyn.decoder_settings import DecoderShape
from superdyn.models.decoder.flops import parameter_count

_STATE_COPIES = 6
_GATHERED_COPIES = 4
_TILE_BYTES = 3 * 64 * 2**20
"""Logits of a tile, their gradient and a temporary (`models/decoder/losses.py`)."""


def training_bytes(
    shape: DecoderShape,
    vocabulary: int,
    tokens: int,
    *,
    word: int = 4,
    halved: bool = False,
    recompute: bool = False,
    shards: int = 1,
) -> int:
    """Bytes of one member.

    Args:
        tokens: of a microbatch on one device.
        word: bytes of a parameter.
        halved: whether products are made in bfloat16, so that about half of what they keep has two bytes.
        recompute: whether only the input of every block is kept.
        shards: ranks that share the state.
    """
    parameters = parameter_count(shape, vocabulary, last_norm=True)
    state = _STATE_COPIES * word * parameters // shards
    if shards > 1:
        blocks = min(2, shape.n_layers)
        gathered = parameters - shape.block_weights + blocks * shape.block_weights // max(1, shape.n_layers)
        # Every rank draws the whole initial parameters before it cuts them.
        state = max(state + _GATHERED_COPIES * word * gathered, word * parameters)
    kv_width = shape.n_kv_heads * shape.head_width
    block = 9 * shape.width + 2 * kv_width + (6 if shape.mlp == "swiglu" else 4) * shape.mlp_width
    kept = shape.n_layers * shape.width + block if recompute else shape.n_layers * block
    activations = tokens * kept * word * (3 if halved else 4) // 4
    ends = 4 * word * tokens * shape.width
    return state + activations + ends + min(3 * word * tokens * vocabulary, _TILE_BYTES)
