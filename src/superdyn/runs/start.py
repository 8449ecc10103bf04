"""Which run a run starts from: what a configuration leaves out under `start` is filled in from that run's folder.

The signature of a run then depends on what it starts from, the source's own signature and the step, and not on where
the source lies. Data go on after what the source and its own sources have drawn: with the source's seed a run sees what
the source would have seen next. Imports no torch.
"""

from pathlib import Path
from typing import Any

from superdyn.config import ConfigError, RunConfig
from superdyn.runs.adopt import reread
from superdyn.runs.folder import RunFolder
from superdyn.runs.ownership import current_status
from superdyn.runs.status import Status

DIGITS = 16
"""Of the source's signature: enough to tell runs apart, and short enough for the tables that name conditions."""


def with_start(config: RunConfig) -> RunConfig:
    """The configuration with `start` filled in, if it names a run.

    Raises:
        ConfigError: `start.run` is the folder of no run, of another than `start.signature`, or of one that is not done
            where no step is given.
    """
    start = config.start
    if start.run is None:
        return config
    path = Path(start.run).expanduser().absolute()
    source, status = source_of(config), current_status(RunFolder(path))
    signature = _first_signature(RunFolder(path)) or (status.signature if status else source.signature())
    if start.signature is not None and not signature.startswith(start.signature):
        raise ConfigError(
            f"start.run={start.run!r}: holds the run with signature {signature[:8]}, and start.signature="
            f"{start.signature!r}; allowed is the folder of that run, or start.signature=null."
        )
    step = _last_step(config, status) if start.step is None else start.step
    filled: dict[str, Any] = {"run": str(path), "step": step, "signature": signature[:DIGITS]}
    if start.data_step is None:
        drawn = ((source.start.data_step or 0) + step) * source.data.samples_per_step
        filled["data_step"] = -(-drawn // config.data.samples_per_step)
    return config.model_copy(update={"start": start.model_copy(update=filled)})


def source_of(config: RunConfig) -> RunConfig:
    """The configuration of the run that this one starts from.

    Raises:
        ConfigError: `start.run` is not the folder of a run, or of one that cannot be read.
    """
    folder = RunFolder(Path(config.start.run or "").expanduser())
    named = f"start.run={config.start.run!r}"
    if not folder.exists():
        found = "is no folder" if not folder.path.is_dir() else "holds no config.yaml"
        raise ConfigError(
            f"{named}: {found}; allowed is the folder of one run, in which superdyn train left its checkpoints."
        )
    try:
        reading = reread(folder)
    except ValueError as error:
        raise ConfigError(f"{named}: {error}.") from error
    if reading.config is None:
        raise ConfigError(f"{named}: {reading.refusal}")
    return reading.config


def _first_signature(folder: RunFolder) -> str | None:
    """What the run was called before a later schema gave it another signature; None if none has."""
    try:
        return (folder.environment() or {}).get("first_signature")
    except ValueError:
        return None


def _last_step(config: RunConfig, status: Status | None) -> int:
    if status is not None and status.state == "done":
        return status.max_steps
    state = "has no status" if status is None else f"is {status.state} at step {status.step}"
    raise ConfigError(
        f"start.step=null: is the last step of a run that is done, and {config.start.run} {state}; give start.step the "
        f"step of one of its checkpoints."
    )
