"""Tokenizers by name: a `tokenizers` JSON file, or a folder or Hugging Face name through `transformers`.

Both packages come with `pip install superdyn[llm]` and are imported when they are needed only. The separator is the
token that ends a document: `--separator`, else the tokenizer's own end-of-text token.
"""

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from superdyn.config.validation import one_sentence

END_OF_TEXT = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>")
"""Looked for where the tokenizer does not say which of its tokens ends a text; a bare JSON file never does."""


@dataclass(frozen=True)
class Tokenizer:
    """What shards need of a tokenizer.

    Attributes:
        vocabulary_size: V, one more than the largest id.
        separator: id of the token that ends a document, None if it has none.
        encode: ids of each text, without special tokens.
    """

    name: str
    vocabulary_size: int
    separator: int | None
    encode: Callable[[Sequence[str]], list[list[int]]]


def optional(package: str, wanted_for: str) -> ModuleType:
    """A package of the `llm` extra.

    Raises:
        ValueError: it is not installed.
    """
    if importlib.util.find_spec(package) is None:
        raise ValueError(f"{wanted_for}: needs the package {package}; pip install 'superdyn[llm]' brings it.")
    return importlib.import_module(package)


def load_tokenizer(name: str, separator: str | None = None) -> Tokenizer:
    """The tokenizer of a file, folder or Hugging Face name.

    Args:
        separator: the token that ends a document; the tokenizer's own when None.

    Raises:
        ValueError: it cannot be loaded, or has no such token.
    """
    if Path(name).is_file():
        return _from_file(name, separator)
    if name.endswith(".json"):
        raise ValueError(f"--tokenizer={name}: no such file.")
    return _from_transformers(name, separator)


def _from_file(name: str, separator: str | None) -> Tokenizer:
    package = optional("tokenizers", f"--tokenizer={name}")
    try:
        loaded = package.Tokenizer.from_file(name)
    except Exception as error:  # the package raises plain Exception
        reason = one_sentence(error)
        raise ValueError(f"--tokenizer={name}: is not a JSON file of the tokenizers package ({reason}).") from None
    loaded.no_truncation()
    loaded.no_padding()
    ids = loaded.get_vocab()
    return Tokenizer(
        Path(name).name,
        max(ids.values()) + 1,
        _separator_id(name, ids, separator or _known(ids)),
        lambda texts: [one.ids for one in loaded.encode_batch_fast(list(texts), add_special_tokens=False)],
    )


def _from_transformers(name: str, separator: str | None) -> Tokenizer:
    package = optional("transformers", f"--tokenizer={name}")
    try:
        loaded = package.AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"--tokenizer={name}: cannot be loaded by transformers: {one_sentence(error)}.") from None
    ids = loaded.get_vocab()
    return Tokenizer(
        name,
        max(ids.values()) + 1,
        _separator_id(name, ids, separator or loaded.eos_token or _known(ids)),
        lambda texts: loaded(list(texts), add_special_tokens=False, truncation=False, verbose=False)["input_ids"],
    )


def _known(ids: dict[str, int]) -> str | None:
    return next((token for token in END_OF_TEXT if token in ids), None)


def _separator_id(name: str, ids: dict[str, int], token: str | None) -> int | None:
    if token is not None and token not in ids:
        raise ValueError(f"--separator={token}: is not a token of {name}; a token of its vocabulary is allowed.")
    return None if token is None else ids[token]
