"""Estimated memory of training one language model, from its shapes; `docs/language_models.md` compares it.

The largest of three moments. A backward pass: parameters, moments and gradients, what autograd keeps of every block
(per token: the stream twice, both norms' outputs, of RMS norms twice, queries, keys, values, the attended values and
those of the MLP up to four times; with recomputation only the stream, and one block whole), the logits of a tile, and
three arrays of the embedding's size (the look-up's copy, its gradient, a tile's part of the gradient). An update or
checkpoint: copies of the parameters. An evaluation: one block of it in one layer. On a GPU compiled blocks keep less:
the stream twice, and of the rest, in bfloat16 where products are, one array each, those of the MLP twice.
Sharded over W ranks parameters, moments and gradients are 1/W of that, and on top come whole parameters and gradients
while they are used: those of two blocks, of which one comes early, and of the ends.
"""

from dataclasses import dataclass

from superdyn.config.decoder import DecoderShape
from superdyn.models.decoder.block import fit_one_graph
from superdyn.models.decoder.flops import parameter_count
from superdyn.models.decoder.losses import TILE_BYTES, WHOLE_TILE_BYTES

UPDATE_COPIES = {"sgd": 6, "normalized": 6, "adam": 8, "adamw": 6}
"""Arrays of the parameters' size that live in an update, or in a checkpoint of AdamW, whose update makes none."""

_OWN_RULE = max(UPDATE_COPIES.values())
"""The same of a rule of the user's own, as a guess."""

_STATE_COPIES, _GATHERED_COPIES = 4, 2
EVALUATED_TOKENS = 8192
"""Of a member, in a block of the evaluation (`training/token_evaluation.py`)."""
_HOLES = 11, 10
"""By how much the memory of activations exceeds them on a CPU, as measured: its allocator leaves holes."""


@dataclass(frozen=True)
class Training:
    """How a member is trained.

    Attributes:
        tokens: of a microbatch on one device.
        word: bytes of a parameter.
        halved: whether products are made in bfloat16, so that about half of what they keep has two bytes.
        recompute: whether only the input of every block is kept.
        parts: microbatches of a step, whose gradients are added up.
        optimizer: the name of the rule.
        evaluated: tokens of the evaluation set.
        device: cpu or cuda.
        shards: ranks that share parameters, moments and gradients.
        compiled: whether torch compiles what a GPU computes.
    """

    tokens: int
    word: int = 4
    halved: bool = False
    recompute: bool = False
    parts: int = 1
    optimizer: str = "adamw"
    evaluated: int = 0
    device: str = "cpu"
    shards: int = 1
    compiled: bool = False


def training_bytes(shape: DecoderShape, vocabulary: int, how: Training) -> int:
    """Bytes of one member, its evaluation set apart."""
    whole = how.word * parameter_count(shape, vocabulary, last_norm=True)
    copy, gathered = whole // how.shards, _gathered_bytes(shape, how, whole)
    embedding = 3 * how.word * shape.width * vocabulary
    block, stream = _block_bytes(shape, how), how.word * shape.width
    kept = shape.n_layers * stream + block if how.recompute else shape.n_layers * block
    activations = how.tokens * (kept + 4 * stream)
    if how.device == "cpu":
        activations = activations * _HOLES[0] // _HOLES[1]
    joined = _joined_bytes(shape, how) * (1 if how.recompute else shape.n_layers)
    backward = (_STATE_COPIES + (how.parts > 1)) * copy + gathered + embedding + activations + joined
    evaluated = min(how.evaluated, EVALUATED_TOKENS)
    layer = how.word * evaluated * (8 * shape.width + 3 * shape.mlp_width)
    return max(
        whole,  # every rank draws all initial parameters before it cuts them
        _muon_bytes(shape, how, copy)
        if how.optimizer == "muon"
        else UPDATE_COPIES.get(how.optimizer, _OWN_RULE) * copy,
        backward + (_whole_tile_bytes if _one_graph(shape, how) else _tile_bytes)(how, how.tokens, vocabulary),
        3 * copy + gathered + layer + _tile_bytes(how, evaluated, vocabulary),
    )


def _muon_bytes(shape: DecoderShape, how: Training, copy: int) -> int:
    """Of an update by Muon: of the blocks' matrices parameters, momentum, and gradients as they came and as they become
    steps; beside them the product of momentum and its factor, or one whole matrix being orthogonalised. The rest of the
    parameters waits with its moments and gradients, and then has Adam's update, while those of the matrices wait."""
    matrices = min(copy, how.word * shape.block_weights // how.shards)
    rest, width, largest = copy - matrices, shape.width, max(shape.width, shape.mlp_width)
    # X, a X and what is added to it, of shards also the whole that they were joined to; beside them G and b G + c G².
    whole = how.word * width * ((3 + (how.shards > 1)) * largest + 2 * width)
    return max(4 * matrices + max(matrices, whole) + 4 * rest, 3 * matrices + UPDATE_COPIES["adam"] * rest)


def _block_bytes(shape: DecoderShape, how: Training) -> int:
    """What autograd keeps of a token in one block; on a GPU as counted, where nearly all of it is rounded."""
    width, kv_width, swiglu = shape.width, shape.n_kv_heads * shape.head_width, shape.mlp == "swiglu"
    if how.device == "cpu":
        entries = (9 if shape.norm == "rms" else 7) * width + 2 * kv_width + (6 if swiglu else 4) * shape.mlp_width
        return entries * how.word * (3 if how.halved else 4) // 4
    product = 2 if how.halved else how.word
    norms = 0 if how.compiled else 2 * (how.word + product) * width
    products = 4 * width + 2 * kv_width + (4 if swiglu else 2) * shape.mlp_width
    return 2 * how.word * width + product * products + norms


def _joined_bytes(shape: DecoderShape, how: Training) -> int:
    """Of the copies of one block's weights that maps of the same input, joined in one product, keep in float32."""
    if how.device == "cpu" or how.halved or how.shards > 1:
        return 0
    rows = shape.width + 2 * shape.n_kv_heads * shape.head_width + (2 * shape.mlp_width if shape.mlp == "swiglu" else 0)
    return how.word * shape.width * rows


def _gathered_bytes(shape: DecoderShape, how: Training, whole: int) -> int:
    if how.shards == 1:
        return 0
    idle_blocks = shape.n_layers - min(2, shape.n_layers)
    return _GATHERED_COPIES * (whole - how.word * idle_blocks * shape.block_weights // max(1, shape.n_layers))


def _one_graph(shape: DecoderShape, how: Training) -> bool:
    compiled = how.compiled and how.device == "cuda" and how.shards == 1
    return compiled and fit_one_graph(shape.n_layers, recompute=how.recompute)


def _whole_tile_bytes(how: Training, tokens: int, vocabulary: int) -> int:
    """Logits of a tile and their gradient, both rounded where products are."""
    return 2 * min(tokens * vocabulary * (2 if how.halved else how.word), WHOLE_TILE_BYTES)


def _tile_bytes(how: Training, tokens: int, vocabulary: int) -> int:
    """Logits of a tile; a second array where they are rounded; on a GPU also their logarithms and the last slope."""
    arrays = 3 if how.device == "cuda" else 2 if how.halved else 1
    return arrays * how.word * min(tokens * vocabulary, TILE_BYTES[how.device] // 4)
