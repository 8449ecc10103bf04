"""How much memory an evaluation needs, from shapes alone, and what to change where it is more than there is.

Weights: the number of parameters, from the safetensors header or index of a checkpoint on this machine, else from its
configuration, times the bytes of --dtype. Besides them the largest of: loading (tensors that change their number type),
a batch (logits of B × T × V, activations of one block, a block of the logits in float32), and the superposition
measures (k × k in float64, see `models/measures.py`). Pages of the checkpoint's file that the system keeps are not
counted: it drops them when memory is needed.
"""

import json
import os
import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from superdyn.evaluate.checkpoint import DTYPES, Shape, quiet_transformers

GIB = 2**30
FREE_SHARE = 0.9
"""Of the memory that is free when nothing is said."""

LOSS_BLOCK = 2**24
"""Logits whose loss is computed at once, in float32."""

_LOSS_COPIES, _LIVE_TENSORS = 3, 3
_LIVE_WIDTHS, _LIVE_MLPS = 8, 3
"""Activations alive at once in a block: of width k and of the MLP's width, per position."""

_MEASURE_ROWS, _MEASURE_COPIES, _MEASURE_GRAMS = 4096, 6, 4

_INDEX = "model.safetensors.index.json"
_RUNTIME_BYTES = 2**26
"""What torch takes once it works, besides any tensor."""


@dataclass(frozen=True)
class Load:
    """What decides the memory: parameters, shape, and the settings that a user can change."""

    parameters: int
    shape: Shape
    dtype: str
    batch: int
    context: int

    def bytes(self) -> int:
        """The estimated peak."""
        word = DTYPES[self.dtype].itemsize
        return (
            _RUNTIME_BYTES
            + word * self.parameters
            + max(self._loading_bytes(), self._batch_bytes(word), self._measure_bytes())
        )

    def _loading_bytes(self) -> int:
        """Tensors of another number type in the file, of which transformers reads several at a time."""
        if self.shape.stored == DTYPES[self.dtype]:
            return 0
        tensor = self.shape.width * (self.shape.vocabulary_size + self.shape.mlp_width)
        return _LIVE_TENSORS * self.shape.stored.itemsize * tensor

    def _batch_bytes(self, word: int) -> int:
        positions = self.batch * self.context
        block = _LIVE_WIDTHS * self.shape.width + _LIVE_MLPS * self.shape.mlp_width
        loss = (
            4 * _LOSS_COPIES * min(max(LOSS_BLOCK, self.shape.vocabulary_size), positions * self.shape.vocabulary_size)
        )
        return word * positions * (self.shape.vocabulary_size + block) + loss

    def _measure_bytes(self) -> int:
        k = self.shape.width
        rows = min(_MEASURE_ROWS, self.shape.vocabulary_size)
        return 8 * k * (_MEASURE_COPIES * rows + _MEASURE_GRAMS * k)


def check_memory(load: Load, budget: int) -> None:
    """Refuse what does not fit, before anything is loaded.

    Raises:
        ValueError: naming the least change that fits: a smaller batch, then bfloat16, then a shorter context.
    """
    if load.bytes() <= budget:
        return
    needed = (
        f"needs about {load.bytes() / GIB:.3g} GiB ({load.parameters:,} parameters) and {budget / GIB:.3g} GiB are "
        "allowed"
    )
    smaller = next((change for change in _changes(load) if change.bytes() <= budget), None)
    if smaller is None:
        least = replace(load, dtype="bfloat16", batch=1, context=1).bytes()
        raise ValueError(f"--memory-gib: the model {needed}; no setting needs less than {least / GIB:.3g} GiB.")
    options = {"--batch": "batch", "--dtype": "dtype", "--context": "context"}
    words = [
        f"{name} {getattr(smaller, key)}"
        for name, key in options.items()
        if getattr(smaller, key) != getattr(load, key)
    ]
    raise ValueError(f"--memory-gib: the model {needed}; {' '.join(words)} would fit.")


def _changes(load: Load) -> list[Load]:
    """Settings that need less memory, in the order in which they change less of the result."""
    batches = [load.batch // 2**power for power in range(load.batch.bit_length())]
    contexts = [load.context // 2**power for power in range(1, load.context.bit_length())]
    dtypes = [load.dtype] if load.dtype == "bfloat16" else [load.dtype, "bfloat16"]
    same_context = [replace(load, dtype=dtype, batch=batch) for dtype in dtypes for batch in batches]
    return same_context + [replace(load, dtype=d, batch=1, context=c) for d in dtypes for c in contexts]


def free_bytes(device: torch.device) -> int:
    """The part of the free memory of the device that may be used."""
    if device.type == "cuda":
        return int(FREE_SHARE * torch.cuda.mem_get_info(device)[0])
    return int(FREE_SHARE * os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))


def parameter_count(folder: Path | None, config: Any) -> int:
    """Numbers to hold in memory, without reading one of them.

    Raises:
        ValueError: a safetensors header or index is damaged.
    """
    files = weight_files(folder) if folder is not None else []
    if files:
        return sum(_header_elements(file) for file in files)
    transformers = quiet_transformers()
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config)
    return sum(parameter.numel() for parameter in model.parameters())


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a checkpoint: those that its index names, else those that are there.

    Raises:
        ValueError: the index is damaged, or names a file that is not there.
    """
    path = folder / _INDEX
    if not path.is_file() or (folder / "model.safetensors").is_file():
        return sorted(folder.glob("*.safetensors"))
    try:
        names = json.loads(path.read_text(encoding="utf-8"))["weight_map"].values()
        found = [folder / name for name in sorted(set(names))]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(f"{path}: is not an index of safetensors files, a JSON object with a weight_map") from None
    for file in found:
        if not file.is_file():
            raise ValueError(f"{file}: is missing, though {_INDEX} lists it")
    return found


def _header_elements(file: Path) -> int:
    """Elements of all tensors of a safetensors file: 8 bytes of length, then JSON with the shape of each."""
    with file.open("rb") as stream:
        start = stream.read(8)
        (length,) = struct.unpack("<Q", start) if len(start) == 8 else (0,)
        if not 0 < length <= file.stat().st_size - 8:
            raise ValueError(f"{file}: was cut short, or is not a safetensors file")
        try:
            header = json.loads(stream.read(length))
            shapes = [entry["shape"] for name, entry in header.items() if name != "__metadata__"]
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ValueError(f"{file}: has a damaged header, or is not a safetensors file") from None
    return sum(int(torch.Size(shape).numel()) for shape in shapes)
