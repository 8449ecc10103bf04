"""Which runs were made by other code than this process runs: superdyn's or the user's own, or another torch.

Compared are version, commit and uncommitted changes of superdyn and of the user's packages that a run names, and
torch's version. Nothing is retrained because of it: it is reported, and whoever reads the numbers decides.
"""

import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from superdyn.config.targets import user_package
from superdyn.runs.code_state import CodeState, code_state
from superdyn.runs.environment import recorded_versions
from superdyn.runs.folder import RunFolder

_UNRECORDED = "?"
"""Changes of which only the fact is recorded; they are taken for other ones."""


@dataclass(frozen=True)
class Drift:
    """How the code of a run differs: `then` and `now` name the package and its state."""

    then: str
    now: str


def environments(folders: Iterable[RunFolder]) -> dict[str, dict[str, Any]]:
    """What `environment.json` says, by folder name; a run where it is absent or damaged is left out."""
    found = {}
    for folder in folders:
        with suppress(ValueError):  # a damaged record of where a run was made says nothing against the run
            if (environment := folder.environment()) is not None:
                found[folder.name] = environment
    return found


def drift_of(environments: Mapping[str, Mapping[str, Any]]) -> dict[str, Drift]:
    """The runs, by name, that were made at least in part by other code than this process runs.

    A run of a package that is not found here or not allowed cannot be compared and is left out.
    """
    known: dict[tuple[tuple[str, CodeState], ...], Drift | None] = {}
    found = {}
    for name, environment in environments.items():
        for part in (environment, *environment.get("earlier", ())):
            codes = _recorded(part)
            if codes not in known:
                known[codes] = _difference(codes)
            if (drift := known[codes]) is not None:
                found[name] = drift
    return found


def warn_of_drift(done: Sequence[RunFolder], resumed: Sequence[RunFolder]) -> None:
    """One warning about done runs that are reused, and one about begun runs that go on, under other code."""
    if drifts := drift_of(environments(done)):
        warnings.warn(done_line(drifts.values(), len(done)), stacklevel=2)
    if drifts := drift_of(environments(resumed)):
        share = f"{len(drifts)} unfinished {'run' if len(drifts) == 1 else 'runs'} began"
        warnings.warn(
            f"{share} under other code ({_summary(drifts.values())}) and will resume under this", stacklevel=2
        )


def done_line(drifts: Collection[Drift], n_done: int) -> str:
    """How many of the done runs were made by other code, by which, and what to do."""
    share = f"{len(drifts)} of {n_done} done runs {'was' if len(drifts) == 1 else 'were'}"
    advice = "they are kept; delete their folders to train them again"
    return f"{share} made by other code ({_summary(drifts)}): {advice}"


def _summary(drifts: Iterable[Drift]) -> str:
    """The most frequent difference in words, and how many others there are."""
    counted = Counter(drifts)
    drift = counted.most_common(1)[0][0]
    others = len(counted) - 1
    more = f"; and {others} other {'state' if others == 1 else 'states'}" if others else ""
    return f"{drift.then}, now {drift.now}{more}"


def made_by(environment: Mapping[str, Any]) -> str:
    """The code that a record names, in words; without torch, whose version stands among the others."""
    return ", ".join(f"{name} {code}" for name, code in _recorded(environment) if name != "torch")


def running_code(package: str) -> str | None:
    """The code of a package that this process runs, in words; None where it is not found."""
    state = code_state(package)
    return None if state is None else str(state)


def _recorded(environment: Mapping[str, Any]) -> tuple[tuple[str, CodeState], ...]:
    versions = environment.get("versions") or {}
    packages = {"superdyn": {"version": versions.get("superdyn")} | (environment.get("git") or {})}
    packages |= environment.get("packages") or {}
    return (*((name, _code(state)) for name, state in packages.items()), ("torch", CodeState(versions.get("torch"))))


def _code(state: Mapping[str, Any]) -> CodeState:
    diff = state.get("diff") or (_UNRECORDED if state.get("dirty") else None)
    return CodeState(state.get("version"), state.get("commit"), diff, state.get("source"))


def _difference(codes: tuple[tuple[str, CodeState], ...]) -> Drift | None:
    different = [(name, then, now) for name, then in codes if (now := _present(name)) is not None and then != now]
    if not different:
        return None
    return Drift(*(", ".join(f"{name} {(then, now)[i]}" for name, then, now in different) for i in (0, 1)))


def _present(package: str) -> CodeState | None:
    if package == "torch":
        return CodeState(recorded_versions()["torch"])
    if package != "superdyn" and user_package(f"{package}.x") is None:
        return None
    state = code_state(package)
    if state is None:
        return None
    # What `environment.json` holds of superdyn when git does not track it is its version alone.
    return replace(state, source=None) if package == "superdyn" else state
