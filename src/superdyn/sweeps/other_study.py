"""A remark on a launch that adds another study's runs to a folder, where reports and fits would mix the two.

Another study has another `name`, or shares no run with the folder and differs from all that is in it in two or more
settings that neither varies: what these do could not be told apart. One such setting is a further axis of the same
study, as are more values of what is swept, and more seeds. It is no refusal: launches without a name share
`runs/train`, claims that share runs share a folder, and every run keeps its own folder and signature.
"""

import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from yaml import YAMLError

from superdyn.config.identity import counts
from superdyn.runs.config_file import parse_config
from superdyn.runs.folder import RunFolder
from superdyn.runs.sweep_folder import run_folders
from superdyn.sweeps.points import Point

_CHOICES = ("data.kind", "model.name", "optimizer.name")
"""Keys that stand for all others of their section, which follow from them."""


_ABSENT = object()


class OtherStudyWarning(UserWarning):
    """Runs of another study are added to a folder."""


def warn_of_other_study(points: Sequence[Point], sweep_dir: Path) -> None:
    """Warn if the points without a folder belong to another study than the runs that are in `sweep_dir`."""
    new = [point for point in points if not point.folder.exists()]
    if not new or not sweep_dir.is_dir():
        return
    found = [config for folder in run_folders(sweep_dir) if (config := _config_in(folder)) and "trainer" in config]
    if not found:
        return
    names, there = {point.config.name for point in points}, {config.get("name") for config in found}
    holds = f"{sweep_dir} holds {len(found)} {'run' if len(found) == 1 else 'runs'}"
    mixed = "a report or fit of the folder mixes them"
    if not names & there:
        own = ", ".join(sorted(map(str, there)))
        warnings.warn(
            f"{holds} of the study {own}, and this launch adds {len(new)} of {', '.join(sorted(names))}: {mixed}; "
            f"another hydra.sweep.dir keeps them apart",
            OtherStudyWarning,
            stacklevel=2,
        )
    elif len(new) == len(points) and len(keys := _fixed_differences(new, found)) > 1:
        warnings.warn(
            f"{holds}, and all {len(new)} that this launch adds differ from them in {', '.join(keys)}: {mixed}; "
            f"another name=… keeps them apart",
            OtherStudyWarning,
            stacklevel=2,
        )


def _config_in(folder: RunFolder) -> dict[str, Any]:
    """A run's configuration, empty where it is not whole, which `superdyn verify` says."""
    with suppress(OSError, ValueError, YAMLError):
        return parse_config((folder.path / "config.yaml").read_text(encoding="utf-8"))
    return {}


def _fixed_differences(new: Sequence[Point], found: Sequence[Mapping[str, Any]]) -> list[str]:
    """The settings with one value in all new runs and another one in all that were found (older ones may lack some)."""
    flat = [point.config.flat() for point in new]
    values = {key: {repr(content.get(key)) for content in flat} for key in flat[0] if counts(key, flat[0][key])}
    before = {key: {repr(_value(config, key)) for config in found} for key in values}
    same = {key for key in _CHOICES if len(values[key] | before[key]) == 1}
    followed = {choice.partition(".")[0] for choice in _CHOICES if choice not in same}
    differing = (
        "start.run" if key.startswith("start.") else key  # the others of the section follow from it
        for key in values
        if len(values[key]) == len(before[key]) == 1
        and values[key] != before[key] != {repr(_ABSENT)}
        and key != "seed"
        and (key in _CHOICES or key.partition(".")[0] not in followed)
    )
    return list(dict.fromkeys(differing))


def _value(config: Mapping[str, Any], key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = value.get(part, _ABSENT) if isinstance(value, Mapping) else _ABSENT
    return value
