"""`superdyn tokens`: shards of token ids from text or a data set, and a look into token files.

`superdyn tokens SOURCE… OUT --tokenizer T` writes OUT/tokens_000000.bin … and OUT/tokens.json;
`superdyn tokens --inspect FILE…` says what token files hold and what is wrong with them.
"""

import argparse
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from superdyn.features.tokens.documents import Part, documents
from superdyn.features.tokens.formats import FORMATS, open_tokens
from superdyn.features.tokens.manifest import MANIFEST, Manifest, check_against, read_manifest, sha256
from superdyn.features.tokens.megatron import index_path
from superdyn.features.tokens.shards import shard_paths
from superdyn.features.tokens.token_file import CHUNK_TOKENS, TokenFile, check_ids
from superdyn.features.tokens.tokenizer import load_tokenizer
from superdyn.features.tokens.write import SHARD_TOKENS, ShardWriter

_BATCH_CHARACTERS, _BATCH_PARTS = 2**20, 1024


def run_tokens(options: argparse.Namespace) -> int:
    """Make shards or inspect; 1 when an inspected file has a problem.

    Raises:
        ValueError: input of another kind, in one sentence.
    """
    paths: list[str] = options.paths
    if options.inspect:
        return _inspect(paths, options.vocab)
    if len(paths) < 2 or options.tokenizer is None:
        raise ValueError("tokens: needs SOURCE… OUT and --tokenizer, or --inspect FILE…")
    *sources, out = paths
    tokenizer = load_tokenizer(options.tokenizer, options.separator)
    writer = ShardWriter(
        Path(out), options.format, tokenizer.vocabulary_size, tokenizer.name, tokenizer.separator, options.shard_tokens
    )
    for batch in _batches(documents(sources, options.split, options.text_column, options.subset)):
        for part, ids in zip(batch, tokenizer.encode([part.text for part in batch]), strict=True):
            writer.add(np.array(ids, dtype=np.int64), part.ends)
    print(_written(writer.close(), out), flush=True)
    return 0


def _batches(parts: Iterable[Part]) -> Iterator[list[Part]]:
    """As many parts as the tokenizer takes at once."""
    batch: list[Part] = []
    characters = 0
    for part in parts:
        batch.append(part)
        characters += len(part.text)
        if characters >= _BATCH_CHARACTERS or len(batch) == _BATCH_PARTS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _written(manifest: Manifest, out: str) -> str:
    separator = "no separator" if manifest.separator is None else f"separator {manifest.separator}"
    return (
        f"{manifest.tokens} tokens of {manifest.documents} documents in {len(manifest.shards)} shards in {out} "
        f"({manifest.format}, {manifest.dtype}, vocabulary {manifest.vocabulary_size}, {separator})"
    )


def _inspect(names: Sequence[str], vocabulary_size: int | None) -> int:
    if not names:
        raise ValueError("tokens --inspect: needs a token file, a folder or a pattern.")
    found = [_inspected(path, vocabulary_size) for path in shard_paths(names)]
    for line, problem in found:
        print(line)
        if problem:
            print(f"  problem: {problem}")
    return int(any(problem for _, problem in found))


def _inspected(path: Path, vocabulary_size: int | None) -> tuple[str, str | None]:
    """What a file holds, and the first thing that is wrong with it."""
    try:
        file = open_tokens(path)
        manifest = read_manifest(file.path.parent)
    except (ValueError, FileNotFoundError) as error:
        return f"{path}: no readable token file", str(error)
    low, high = _extremes(file)
    lengths = "" if file.lengths is None else f"  documents {len(file.lengths)}"
    line = f"{file.path}: {file.format}  {file.dtype.name}  tokens {len(file.tokens)}{lengths}  ids {low} to {high}"
    try:
        if manifest is not None:
            check_against(manifest, file, vocabulary_size)
            _check_sums(manifest, file)
            vocabulary_size = vocabulary_size or manifest.vocabulary_size
        if vocabulary_size is not None:
            check_ids(file, vocabulary_size)
    except ValueError as error:
        return line, str(error)
    return line, None


def _extremes(file: TokenFile) -> tuple[int, int]:
    chunks = [file.tokens[i : i + CHUNK_TOKENS] for i in range(0, len(file.tokens), CHUNK_TOKENS)]
    return min(int(chunk.min()) for chunk in chunks), max(int(chunk.max()) for chunk in chunks)


def _check_sums(manifest: Manifest, file: TokenFile) -> None:
    """Raises ValueError where the bytes are not those that were written."""
    entry = manifest.shard(file.path.name)
    if entry is None:
        return
    for path, expected in ((file.path, entry.sha256), (index_path(file.path), entry.index_sha256)):
        if expected is not None and sha256(path) != expected:
            raise ValueError(f"{path}: its SHA-256 is not the one in {MANIFEST}, so it was changed after writing.")


def add_tokens_verb(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the verb; nothing heavy is imported."""
    verb = verbs.add_parser("tokens", help="make shards of token ids from text or a data set, or inspect them")
    verb.add_argument("paths", nargs="*", metavar="PATH", help="SOURCE… OUT, or token files with --inspect")
    verb.add_argument("--tokenizer", help="JSON file of tokenizers, folder or Hugging Face name")
    verb.add_argument("--format", default="headered", help=", ".join(FORMATS))
    verb.add_argument("--shard-tokens", type=int, default=SHARD_TOKENS, help="tokens per shard (default: %(default)s)")
    verb.add_argument("--separator", help="token after each document; default: the tokenizer's own")
    verb.add_argument("--text-column", default="text", help="text column of a data set (default: text)")
    verb.add_argument("--split", default="train", help="split of a data set (default: train)")
    verb.add_argument("--subset", help="subset (configuration) of a data set")
    verb.add_argument(
        "--inspect", action="store_true", help="print format, type, number of tokens, range of ids and problems"
    )
    verb.add_argument("--vocab", type=int, help="with --inspect: vocabulary size to check the ids against")
    verb.set_defaults(run=run_tokens)
