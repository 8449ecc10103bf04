"""Which code a package is, as git sees its source: commit, and the changes that are not committed.

The changes are one text that `git apply` takes, with the package's untracked Python files as new files; its SHA-256
names them. A package that no repository tracks is known by the digest of its Python files instead.
"""

import functools
import hashlib
import importlib.util
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from superdyn.atomic import write_text_atomically
from superdyn.installed import installed_version

_COMMIT_DIGITS, _DIGEST_DIGITS = 7, 8
"""In messages; a diff's file has as many of its digest in its name."""

_PLAIN_DIFF = ("--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", "--full-index", "--unified=3",
               "--src-prefix=a/", "--dst-prefix=b/")  # fmt: skip
"""The same changes give the same text whatever the user's git settings are."""


@dataclass(frozen=True)
class CodeState:
    """A package's code; `diff` and `source` are hex digests, `changes` the diff's text (empty when clean)."""

    version: str | None
    commit: str | None = None
    diff: str | None = None
    source: str | None = None
    changes: str = field(default="", compare=False)

    def __str__(self) -> str:
        at = f" at {self.commit[:_COMMIT_DIGITS]}" if self.commit else ""
        of = f" of source {self.source[:_DIGEST_DIGITS]}" if self.source else ""
        changed = "" if self.diff is None else f" with changes {self.diff[:_DIGEST_DIGITS]}".removesuffix(" ?")
        return f"{self.version or ''}{at}{of}{changed}".strip() or "unknown"

    def record(self) -> dict[str, str | bool | None]:
        """The part that `environment.json` keeps."""
        return {
            "version": self.version,
            "commit": self.commit,
            "dirty": self.diff is not None,
            "diff": self.diff,
            "source": self.source,
        }


@functools.cache
def code_state(package: str) -> CodeState | None:
    """The code that importing `package` runs in this process; None if it is not found.

    It is looked at once: what is imported stays as it was. The package itself is not imported.
    """
    place = _place(package)
    if place is None:
        return None
    folder, pathspec = place
    version = installed_version(package.partition(".")[0])
    where = _git(folder, "rev-parse", "HEAD", "--show-prefix")
    # A repository that merely surrounds a virtual environment does not track the package and says nothing about it.
    if where is None or not _git(folder, "ls-files", "--", pathspec):
        return CodeState(version, source=_source_digest(folder, pathspec))
    commit, _, prefix = where.partition("\n")
    changes = _changes(folder, pathspec, prefix.strip())
    digest = hashlib.sha256(changes.encode()).hexdigest() if changes else None
    return CodeState(version, commit, digest, changes=changes)


def keep_diff(state: CodeState | None, folder: Path) -> None:
    """Store the changes as `folder/<first 8 digits of their digest>.diff`, once."""
    if state is None or state.diff is None:
        return
    path = folder / f"{state.diff[:_DIGEST_DIGITS]}.diff"
    if not path.is_file():
        write_text_atomically(path, state.changes)


def _place(package: str) -> tuple[Path, str] | None:
    """The folder of the package and what belongs to it there: everything, or the file of a single module."""
    root, *below = package.split(".")
    spec = importlib.util.find_spec(root)  # of a top-level name it imports nothing
    if spec is None:
        return None
    if spec.submodule_search_locations:
        folder = Path(next(iter(spec.submodule_search_locations))).joinpath(*below)
        if folder.is_dir():
            return folder, "."
        return (folder.parent, f"{folder.name}.py") if folder.with_suffix(".py").is_file() else None
    return (Path(spec.origin).parent, Path(spec.origin).name) if spec.has_location and spec.origin else None


def _changes(folder: Path, pathspec: str, prefix: str) -> str:
    tracked = _git(folder, "diff", *_PLAIN_DIFF, "HEAD", "--", pathspec) or ""
    listed = _git(folder, "ls-files", "--others", "--exclude-standard", "-z", "--", pathspec) or ""
    new = (name for name in sorted(listed.split("\0")) if name.endswith(".py"))
    return tracked + "".join(_new_file(folder / name, prefix + name) for name in new)


def _new_file(path: Path, name: str) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    ended = lines[-1] == ""
    lines = lines[:-1] if ended else lines
    head = f"diff --git a/{name} b/{name}\nnew file mode 100644\n"
    if not lines:
        return head
    body = "".join(f"+{line}\n" for line in lines)
    return f"{head}--- /dev/null\n+++ b/{name}\n@@ -0,0 +1,{len(lines)} @@\n{body}" + (
        "" if ended else "\\ No newline at end of file\n"
    )


def _source_digest(folder: Path, pathspec: str) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")) if pathspec == "." else [folder / pathspec]:
        digest.update(f"{path.relative_to(folder)}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _git(folder: Path, *arguments: str) -> str | None:
    """Standard output of a git command, None if it fails or git is absent."""
    # A repository's own settings may name a program for git to run; this one is only looked at.
    command = ["git", "-c", "core.fsmonitor=false", "-c", "core.quotePath=true", "-C", str(folder), *arguments]
    try:
        answer = subprocess.run(command, capture_output=True, timeout=10, check=False)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.decode("utf-8", errors="replace") if answer.returncode == 0 else None
