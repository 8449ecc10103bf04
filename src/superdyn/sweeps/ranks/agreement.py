"""Before they train, the ranks of a run make sure that all are there and that they mean the same run by the same code.

Every rank leaves word in the store over which torch makes process groups; the first compares it with its own and
answers all, so that what one machine gets wrong is refused on all of them in the same sentence.
"""

import hashlib
import json
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

from torch.distributed import (
    DistError,
    Store,  # pyright: ignore[reportPrivateImportUsage]
    rendezvous,  # pyright: ignore[reportPrivateImportUsage]
)

from superdyn.config import ConfigError, RunConfig
from superdyn.runs.drift import running_code
from superdyn.runs.environment import recorded_versions, user_packages
from superdyn.sweeps.ranks.place import Place

PATIENCE = timedelta(minutes=5)
"""How much later than the first a rank may come: it imports torch, perhaps from a slow disk."""

_ANSWER, _AGREED = "superdyn/answer", "agreed"


def met_store(here: Place) -> Store:
    """The store of all ranks, which torchrun keeps or else the first rank.

    Raises:
        ConfigError: nobody answers where it should be.
    """
    try:
        store, _, _ = next(rendezvous("env://", here.rank, here.size, timeout=PATIENCE))
    except DistError as error:
        raise ConfigError(_gone("the first machine")) from error
    return store


def agree(here: Place, configs: Sequence[RunConfig], store: Store) -> None:
    """Wait for all ranks and return when they agree on what is trained, and with which code.

    Raises:
        ConfigError: on all ranks; they do not agree, or one has not come.
    """
    word = _word_of(here, configs)
    try:
        store.set(_key(here.rank), json.dumps(word))
        if here.rank == 0:
            store.set(_ANSWER, _objection(word, here.size, store) or _AGREED)
        store.wait([_ANSWER], PATIENCE + PATIENCE)
        answer = store.get(_ANSWER).decode()
    except DistError as error:
        raise ConfigError(_gone("the first rank")) from error
    if answer != _AGREED:
        raise ConfigError(answer)


def tell_others(here: Place, refusal: str) -> None:
    """Leave word that this rank does not start, for ranks on other machines that do."""
    with suppress(DistError, StopIteration, ValueError):
        store, _, _ = next(rendezvous("env://", here.rank, here.size, timeout=timedelta(seconds=10)))
        store.set(_key(here.rank), json.dumps({"host": socket.gethostname(), "refusal": refusal}))


def _key(rank: int) -> str:
    return f"superdyn/rank {rank}"


def _gone(who: str) -> str:
    return f"{who} does not answer to {socket.gethostname()}: its ranks may have ended, and its output then says why."


def _word_of(here: Place, configs: Sequence[RunConfig]) -> dict[str, Any]:
    """What a rank says of itself; of the code one rank of each machine is enough."""
    mappings = [config.to_mapping() for config in configs]
    return {
        "host": socket.gethostname(),
        "asked": configs[0].flat() if len(configs) == 1 else {},
        "digest": hashlib.sha256(json.dumps(mappings, sort_keys=True).encode()).hexdigest(),
        "code": _code(mappings) if here.local_rank == 0 else None,
    }


def _code(mappings: Sequence[Mapping[str, Any]]) -> dict[str, str | None]:
    packages = {"superdyn", *(package for mapping in mappings for package in user_packages(mapping))}
    known = {package: code for package in sorted(packages) if (code := running_code(package)) is not None}
    return known | {"torch": recorded_versions()["torch"]}


def _objection(first: Mapping[str, Any], size: int, store: Store) -> str | None:
    """What the first rank has against what the others say, or None."""
    for rank in range(size):
        try:
            store.wait([_key(rank)], PATIENCE)
        except DistError:
            minutes = PATIENCE.total_seconds() / 60
            return (
                f"rank {rank} of {size}: did not join within {minutes:g} minutes; the output of its machine says why, "
                f"and every machine must start the same command."
            )
        if sentence := _difference(first, json.loads(store.get(_key(rank))), rank):
            return sentence
    return None


def _difference(first: Mapping[str, Any], word: Mapping[str, Any], rank: int) -> str | None:
    if "refusal" in word:
        return f"on {word['host']}: {word['refusal']}"
    here, there = f"on {first['host']} (rank 0)", f"on {word['host']} (rank {rank})"
    if word["digest"] != first["digest"]:
        theirs, ours = _differing(word["asked"], first["asked"])
        what = f"{theirs} {there} and {ours}" if theirs else f"{there} other runs than"
        return f"{what} {here}: every machine must start the same command."
    if word["code"] is not None and word["code"] != first["code"]:
        theirs, ours = _differing(word["code"], first["code"], " ")
        return f"{theirs} {there} and {ours} {here}: every machine must run the same code."
    return None


def _differing(one: Mapping[str, Any], two: Mapping[str, Any], sign: str = "=") -> tuple[str, str]:
    keys = [key for key in {**two, **one} if one.get(key) != two.get(key)]
    return ", ".join(f"{k}{sign}{one.get(k)}" for k in keys), ", ".join(f"{k}{sign}{two.get(k)}" for k in keys)
