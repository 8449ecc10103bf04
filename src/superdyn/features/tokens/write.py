"""Writes documents of ids as shards of one of the three formats, each all at once, and `tokens.json` last.

A folder with shards but without a manifest is that of a writer that was stopped. Documents may be cut at the end of a
shard; in Megatron's index the parts are documents of their own. Axis legend: `n` token, `d` document.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Integer

from superdyn.atomic import write_atomically
from superdyn.features.tokens.formats import storage_type
from superdyn.features.tokens.headered import MOST_TOKENS, write_headered
from superdyn.features.tokens.manifest import Manifest, Shard, sha256
from superdyn.features.tokens.megatron import index_path, write_megatron_index
from superdyn.features.tokens.raw import write_raw
from superdyn.features.tokens.token_file import TokenFile, check_ids, stored

SHARD_TOKENS = 100_000_000
"""As in the public shards of FineWeb: 200 MB of uint16."""


def write_shard(
    path: Path,
    format: str,
    vocabulary_size: int,
    ids: Integer[np.ndarray, "n"],
    lengths: Sequence[int] | None = None,
) -> TokenFile:
    """Write one `.bin`, and Megatron's index before it, so that a `.bin` never lacks its index.

    Args:
        lengths: tokens of each document; all are one document when None. Only Megatron's index records them.

    Raises:
        ValueError: a format that cannot hold the vocabulary, or an id beyond it; nothing is written then.
    """
    ids = stored(ids, storage_type(format, vocabulary_size), path)
    sizes = np.array([len(ids)] if lengths is None else lengths, dtype=np.int64)
    file = TokenFile(path, format, ids, sizes)
    check_ids(file, vocabulary_size)
    if format == "megatron":
        write_atomically(index_path(path), lambda out: write_megatron_index(out, ids.dtype, sizes))
    body = {"raw": write_raw, "headered": write_headered, "megatron": _write_bare}[format]
    write_atomically(path, lambda out: body(out, ids))
    return file


def _write_bare(file: BinaryIO, ids: Integer[np.ndarray, "n"]) -> None:
    file.write(ids.tobytes())


class ShardWriter:
    """Collects documents and writes a shard whenever one is full; `close` writes the rest and the manifest.

    Args:
        folder: new or empty.
        separator: the id put after every document, None for none.

    Raises:
        ValueError: the folder holds something, or a size or format that does not fit.
    """

    def __init__(
        self,
        folder: Path,
        format: str,
        vocabulary_size: int,
        tokenizer: str,
        separator: int | None = None,
        shard_tokens: int = SHARD_TOKENS,
    ) -> None:
        self.dtype = storage_type(format, vocabulary_size)
        if not 1 <= shard_tokens <= MOST_TOKENS:
            raise ValueError(f"shard_tokens={shard_tokens}: must be at least 1 and at most {MOST_TOKENS}.")
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ValueError(f"{folder}: holds files already; shards go to a new or empty folder.")
        self.folder, self.format, self.vocabulary_size = folder, format, vocabulary_size
        self.tokenizer, self.separator, self.shard_tokens = tokenizer, separator, shard_tokens
        self.documents = 0
        self._shards: list[Shard] = []
        self._start_shard()
        self._within_document = False

    def _start_shard(self) -> None:
        self._parts: list[Integer[np.ndarray, "_"]] = []
        self._lengths: list[int] = []
        self._filled = 0

    def add(self, ids: Integer[np.ndarray, "_"], ends: bool = True) -> None:
        """Append a document, or a part of one that does not end yet.

        Raises:
            ValueError: an id that the format cannot hold, or beyond the vocabulary once a shard is full.
        """
        if ends and self.separator is not None:
            ids = np.append(ids, self.separator)
        ids = stored(ids, self.dtype, self.folder)
        while len(ids):
            part, ids = np.split(ids, [self.shard_tokens - self._filled])
            if not (self._within_document and self._lengths):
                self._lengths.append(0)
            self._lengths[-1] += len(part)
            self._parts.append(part)
            self._filled += len(part)
            self._within_document = True
            if self._filled == self.shard_tokens:
                self._write()
        if ends:
            self.documents += 1
            self._within_document = False

    def close(self) -> Manifest:
        """Write what is left and the manifest.

        Raises:
            ValueError: no token was added.
        """
        if self._parts:
            self._write()
        if not self._shards:
            raise ValueError(f"{self.folder}: the source holds no tokens; at least one is needed.")
        manifest = Manifest(
            format=self.format,
            dtype=self.dtype.name,
            vocabulary_size=self.vocabulary_size,
            tokenizer=self.tokenizer,
            separator=self.separator,
            tokens=sum(shard.tokens for shard in self._shards),
            documents=self.documents,
            shards=self._shards,
        )
        manifest.write(self.folder)
        return manifest

    def _write(self) -> None:
        path = self.folder / f"tokens_{len(self._shards):06d}.bin"
        file = write_shard(path, self.format, self.vocabulary_size, np.concatenate(self._parts), self._lengths)
        index = sha256(index_path(path)) if self.format == "megatron" else None
        self._shards.append(Shard(file=path.name, tokens=len(file.tokens), sha256=sha256(path), index_sha256=index))
        self._start_shard()
