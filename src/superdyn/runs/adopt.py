"""Recognises runs that an older configuration schema described: the same run keeps its folder and is not trained again.

The signature is a hash of all keys, so a key that a later version adds would make every run of an old sweep a
different one. Such a run's `config.yaml` is read with the present schema, which gives the new keys their defaults; if
that gives a wanted signature, it is that run, and its folder is readdressed to it, done or not. A run whose process is
still at work is left to it.
"""

import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from superdyn.config import RunConfig
from superdyn.config.identity import is_incidental
from superdyn.config.validation import ConfigError
from superdyn.runs.folder import RunFolder
from superdyn.runs.ownership import current_status
from superdyn.runs.schema import schema_fingerprint
from superdyn.runs.sweep_folder import read_points, rename_points


class Reading(NamedTuple):
    """A run's `config.yaml` as the present schema reads it: the configuration and what was filled in, or a refusal."""

    folder: RunFolder
    config: RunConfig | None
    filled: dict[str, Any]
    refusal: str = ""


def reread(folder: RunFolder) -> Reading:
    """Read a run's configuration with the present schema.

    Raises:
        ValueError: `config.yaml` is absent or not whole.
    """
    mapping = folder.config()
    if mapping is None:
        raise ValueError(f"{folder.path}: holds no config.yaml, so there is no run to resume")
    if mapping.get("kind") == "evaluation":
        return Reading(
            folder, None, {}, "an evaluation, no training; its own superdyn evaluate command goes on with it."
        )
    try:
        config = RunConfig.from_mapping(mapping)
    except ConfigError as error:
        return Reading(folder, None, {}, str(error))
    return Reading(folder, config, {key: value for key, value in config.flat().items() if _is_new(key, mapping)})


def older_runs_among(sweep_dir: Path, wanted: Collection[str]) -> dict[str, str]:
    """Which runs of a sweep are among the wanted ones, though an older schema gave them another signature.

    Args:
        sweep_dir: the sweep's folder; nothing is written.
        wanted: signatures that its list of points does not have.

    Returns:
        Folder names by wanted signature. A warning names a run whose configuration can no longer be read.
    """
    older = [point for point in read_points(sweep_dir) if point.schema != schema_fingerprint()] if wanted else []
    found: dict[str, str] = {}
    refused = []
    for point in older:
        folder = RunFolder(sweep_dir / point.folder)
        if not folder.exists():
            continue
        reading, status = reread(folder), current_status(folder)
        if reading.config is None:
            refused.append(reading)
            continue
        signature = reading.config.signature()
        belongs = status is None or status.signature in (point.signature, signature)
        if signature in wanted and belongs and (signature not in found or (status and status.state == "done")):
            found[signature] = point.folder
    warn_of_refused(refused)
    return found


def adopt_runs(sweep_dir: Path, wanted: Sequence[tuple[RunFolder, str]]) -> None:
    """Readdress the wanted runs whose folders an older schema described; to be called under the sweep's lock.

    `wanted` are folders with the signature that each is to hold. A folder is read once more before anything is written,
    and stays as it is if it holds another run, if its configuration is not the one that was written into it, or if its
    process is at work. A kill at any moment leaves the run as one of the older schema, which the next launch adopts.
    """
    listed = {point.folder: point.signature for point in read_points(sweep_dir)}
    adopted: dict[str, Reading] = {}
    for folder, signature in wanted:
        status = current_status(folder)
        known = {listed.get(folder.name, signature), signature if status is None else status.signature}
        if known == {signature} or not folder.exists() or (status is not None and status.is_live()):
            continue
        if (
            folder.is_as_written()
            and _is_older(folder.environment() or {})
            and (reading := reread(folder)).config is not None
        ):
            if reading.config.signature() != signature:
                continue
            folder.readdress(reading.config.to_mapping(), signature, schema_fingerprint())
            adopted[folder.name] = reading
    if adopted and listed:
        rename_points(sweep_dir, {folder.name: signature for folder, signature in wanted if folder.name in adopted})
    _warn_of_adopted(list(adopted.values()))


def warn_of_refused(readings: Sequence[Reading]) -> None:
    """One warning about runs whose configuration the present schema refuses."""
    if readings:
        count = "1 run has" if len(readings) == 1 else f"{len(readings)} runs have"
        example = f"{readings[0].folder.path / 'config.yaml'}: {readings[0].refusal}"
        warnings.warn(
            f"{count} a configuration that this version cannot read and are left out ({example})", stacklevel=3
        )


def _warn_of_adopted(readings: Sequence[Reading]) -> None:
    if readings:
        filled = {key: value for reading in readings for key, value in reading.filled.items()}
        keys = ", ".join(f"{key}={value!r}" for key, value in filled.items()) or "no key"
        count = "1 run" if len(readings) == 1 else f"{len(readings)} runs"
        warnings.warn(f"{count} of an older schema adopted, with {keys} filled in", stacklevel=3)


def refusals(folders: Iterable[RunFolder], environments: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Why the configurations of runs of another schema can no longer be read, by folder name."""
    found = {}
    for folder in folders:
        if folder.name in environments and _is_older(environments[folder.name]):
            try:
                refusal = reread(folder).refusal
            except ValueError as error:  # one damaged file must not hide the other runs
                refusal = str(error)
            if refusal:
                found[folder.name] = refusal
    return found


def _is_older(environment: Mapping[str, Any]) -> bool:
    """Whether another schema than the present one described the run, or one that was not recorded."""
    return environment.get("schema") != schema_fingerprint()


def _is_new(key: str, mapping: Mapping[str, Any]) -> bool:
    """Whether a key that is part of the signature is absent from the old configuration."""
    if is_incidental(key):
        return False
    node: Any = mapping
    for part in key.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return True
        node = node[part]
    return False
