"""From what a user names, a file, a folder, a pattern or several, to open shards in a fixed order.

Imports no torch, so that looking into files is quick.
"""

from collections.abc import Sequence
from glob import glob
from pathlib import Path

import numpy as np

from superdyn.features.tokens.formats import open_tokens
from superdyn.features.tokens.manifest import MANIFEST, check_against, read_manifest
from superdyn.features.tokens.megatron import index_path
from superdyn.features.tokens.token_file import TokenFile

_WILD = "*?["


def shard_paths(source: str | Path | Sequence[str | Path]) -> list[Path]:
    """The `.bin` files of a file, a folder (in the manifest's order, else by name), a pattern, or several of these.

    A Megatron pair may be named without suffix, as Megatron itself has it.

    Raises:
        FileNotFoundError: there are none.
    """
    if not isinstance(source, str | Path):
        return [path for part in source for path in shard_paths(part)]
    path = Path(source).expanduser()
    if path.is_dir():
        manifest = read_manifest(path)
        found = [path / shard.file for shard in manifest.shards] if manifest else sorted(path.glob("*.bin"))
    elif any(mark in str(path) for mark in _WILD):
        found = [Path(name) for name in sorted(glob(str(path), recursive=True)) if not name.endswith(".idx")]
    elif not path.exists() and index_path(bin_of := Path(f"{path}.bin")).is_file():
        found = [bin_of]
    else:
        found = [path]
    if not found:
        raise FileNotFoundError(f"{source}: no token file there; a .bin file, a folder or a pattern of them is needed.")
    return found


def open_shards(source: str | Path | Sequence[str | Path], vocabulary_size: int) -> list[TokenFile]:
    """Map the shards, and compare them with the manifests beside them.

    Raises:
        FileNotFoundError: no shard.
        ValueError: a shard of another format or vocabulary, or one that was cut short.
    """
    files = [open_tokens(path) for path in shard_paths(source)]
    manifests = {folder: read_manifest(folder) for folder in {file.path.parent for file in files}}
    for file in files:
        manifest = manifests[file.path.parent]
        if manifest:
            check_against(manifest, file, vocabulary_size)
        known = manifest is not None and manifest.shard(file.path.name) is not None
        if not known and np.iinfo(file.dtype).max + 1 < vocabulary_size:
            raise ValueError(
                f"{file.path}: stores ids as {file.dtype.name}, which is too small for a vocabulary of "
                f"{vocabulary_size}; allowed is one of up to {np.iinfo(file.dtype).max + 1}, or shards beside a "
                f"{MANIFEST}."
            )
    return files
