"""`tokens.json` beside the shards: what wrote them, how many tokens each holds, and their SHA-256.

Shards without it are read as well; with it, a raw shard that lost its tail and a vocabulary that is too small are found
out before an id is looked at.
"""

import hashlib
import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from superdyn.atomic import write_text_atomically
from superdyn.config.validation import validated
from superdyn.features.tokens.token_file import TokenFile

MANIFEST = "tokens.json"


class Shard(BaseModel):
    """One `.bin` file; Megatron's has an index beside it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str
    tokens: int
    sha256: str
    index_sha256: str | None = None


class Manifest(BaseModel):
    """The content of `tokens.json`.

    `separator` is the id that ends every document, null where documents follow each other without one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: str
    dtype: str
    vocabulary_size: int
    tokenizer: str
    separator: int | None
    tokens: int
    documents: int
    shards: list[Shard]

    def write(self, folder: Path) -> None:
        """Write `tokens.json`, all at once."""
        write_text_atomically(folder / MANIFEST, json.dumps(self.model_dump(), indent=2) + "\n")

    def shard(self, name: str) -> Shard | None:
        """The entry of a `.bin` file."""
        return next((shard for shard in self.shards if shard.file == name), None)


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a folder of shards, None where there is none.

    Raises:
        ValueError: it is damaged.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        return validated(Manifest, json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        reason = str(error).rstrip(".")
        raise ValueError(
            f"{path}: cannot be read as a manifest of shards ({reason}); allowed is what superdyn tokens wrote, or no "
            f"such file."
        ) from None


def check_against(manifest: Manifest, file: TokenFile, vocabulary_size: int | None = None) -> None:
    """Compare a shard with its entry; a file without one passes.

    Raises:
        ValueError: another number of tokens, or a vocabulary smaller than the shards were written for.
    """
    entry, n_tokens = manifest.shard(file.path.name), len(file.tokens)
    if entry is None:
        return
    if entry.tokens != n_tokens:
        how = "was cut short" if n_tokens < entry.tokens else "is longer than it was"
        raise ValueError(f"{file.path}: {how}: {MANIFEST} counts {entry.tokens} tokens and it has {n_tokens}.")
    if vocabulary_size is not None and vocabulary_size < manifest.vocabulary_size:
        raise ValueError(
            f"{file.path}: {MANIFEST} gives a vocabulary of {manifest.vocabulary_size} (tokenizer "
            f"{manifest.tokenizer}); vocabulary_size={vocabulary_size} must be at least that."
        )


def sha256(path: Path) -> str:
    """Of a whole file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
