"""Whether token shards are those that `superdyn tokens` wrote, by the SHA-256 in `tokens.json`."""

from pathlib import Path

from superdyn.features.tokens.formats import open_tokens
from superdyn.features.tokens.manifest import MANIFEST, Manifest, check_against, read_manifest
from superdyn.features.tokens.megatron import index_path
from superdyn.runs.hashed_file import hash_file
from superdyn.verify.finding import Advance, Finding, Job


def token_jobs(root: Path) -> list[Job]:
    """One job a file that the shards' manifest lists, and one for files that it does not.

    Raises:
        ValueError: the manifest is damaged.
    """
    manifest = read_manifest(root)
    assert manifest is not None
    listed = {shard.file: shard.sha256 for shard in manifest.shards}
    listed |= {index_path(Path(s.file)).name: s.index_sha256 for s in manifest.shards if s.index_sha256 is not None}
    jobs = [_file_job(root / name, sha256, manifest) for name, sha256 in listed.items()]
    others = sorted(path.name for path in root.glob("*.bin") if path.name not in listed)
    unknown = [Finding(name, "unknown", f"{MANIFEST} does not list it") for name in others]
    return [*jobs, Job(0, 0, lambda advance: unknown)]


def _file_job(path: Path, sha256: str, manifest: Manifest) -> Job:
    def check(advance: Advance) -> list[Finding]:
        try:
            if not path.is_file():
                return [Finding(path.name, "missing", f"{MANIFEST} lists it")]
            if hash_file(path, advance).sha256 == sha256:
                return []
            return [Finding(path.name, *_difference(path, manifest))]
        except OSError as error:
            return [Finding(path.name, "unreadable", str(error.strerror))]

    return Job(path.stat().st_size if path.is_file() else 0, 1, check)


def _difference(path: Path, manifest: Manifest) -> tuple[str, str]:
    """Kind and words: a shard whose number of tokens is another one was cut short or grew."""
    try:
        if path.suffix == ".bin":
            check_against(manifest, open_tokens(path))
    except (ValueError, FileNotFoundError) as error:
        return "cut short" if "cut short" in str(error) else "altered", str(error).removeprefix(f"{path}: ")
    return "altered", f"its SHA-256 is not the one in {MANIFEST}"
