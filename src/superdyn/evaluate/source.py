"""Where checkpoints lie: a folder on this machine or a repository of the Hugging Face hub.

A checkpoint that was not in the hub's cache before is downloaded into OUT and deleted once it is measured, so that a
series of 154 needs the disk of one; what the user had cached is used and never deleted.
"""

import importlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from superdyn.config.validation import one_sentence
from superdyn.features.tokens.tokenizer import optional

WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
DOWNLOADS = "download"


class CheckpointError(ValueError):
    """One revision that cannot be measured; the others can."""


@dataclass(frozen=True)
class Location:
    """The arguments of `from_pretrained` that name one checkpoint: a folder or name, and `keywords`."""

    name: str
    keywords: dict[str, Any]

    @property
    def folder(self) -> Path | None:
        """The checkpoint's folder if it lies on this machine."""
        return Path(self.name) if Path(self.name).is_dir() else None


class FolderSource:
    """A folder whose subfolders are checkpoints, or which is a checkpoint itself."""

    def __init__(self, root: Path):
        self.root = root

    def names(self) -> list[str]:
        """The subfolders that hold a checkpoint."""
        return sorted(config.parent.name for config in self.root.glob("[!.]*/config.json"))

    @contextmanager
    def open(self, revision: str) -> Iterator[Location]:
        """The revision's folder.

        Raises:
            CheckpointError: there is none.
        """
        folder = self.root / revision
        if not (folder / "config.json").is_file():
            known = self.names()
            shown = ", ".join(known[:8]) + (", …" if len(known) > 8 else "")
            there = f"there are {shown}" if known else "there is none"
            raise CheckpointError(
                f"revision {revision}: {self.root} has no subfolder of that name with a checkpoint ({there})"
            )
        yield Location(str(folder), {})


class HubSource:
    """A repository of the hub, with a branch or tag for each revision."""

    def __init__(self, model: str, downloads: Path, keep_cache: bool):
        self.model, self.downloads, self.keep_cache = model, downloads, keep_cache

    def names(self) -> list[str]:
        """Branches and tags.

        Raises:
            ValueError: the hub does not answer or has no such model.
        """
        hub = importlib.import_module("huggingface_hub")
        try:
            found = hub.HfApi().list_repo_refs(self.model)
        except Exception as error:  # httpx, the hub and the disk each have errors of their own
            raise ValueError(f"MODEL={self.model}: its revisions cannot be listed: {one_sentence(error)}") from None
        return [reference.name for reference in (*found.branches, *found.tags)]

    @contextmanager
    def open(self, revision: str) -> Iterator[Location]:
        """The revision, from the user's cache if it is there, else from a folder that is deleted afterwards."""
        if self.keep_cache or self._is_cached(revision):
            yield Location(self.model, {"revision": revision})
            return
        shutil.rmtree(self.downloads, ignore_errors=True)  # what a killed process left
        try:
            yield Location(self.model, {"revision": revision, "cache_dir": str(self.downloads)})
        finally:
            shutil.rmtree(self.downloads, ignore_errors=True)

    def _is_cached(self, revision: str) -> bool:
        hub = importlib.import_module("huggingface_hub")
        return any(isinstance(hub.try_to_load_from_cache(self.model, name, revision=revision), str) for name in WEIGHTS)


Source = FolderSource | HubSource


def open_source(model: str, out: Path, keep_cache: bool) -> Source:
    """A folder if there is one of that name, else a name on the hub.

    Raises:
        ValueError: the name can be neither, or the packages for it are not installed.
    """
    optional("transformers", f"MODEL={model}")
    path = Path(model).expanduser()
    if path.is_dir():
        return FolderSource(path)
    if path.exists() or model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise ValueError(f"MODEL={model}: no such folder; a folder with checkpoints or a Hugging Face name is needed.")
    return HubSource(model, out / DOWNLOADS, keep_cache)
