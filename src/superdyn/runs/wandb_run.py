"""One live W&B run beside others in the same process, offline unless WANDB_MODE says otherwise.

W&B is a view of the run folder: everything it is told is also in the folder's files. The id is made from the
signature, so that a resumed run continues the same W&B run. Where a server cannot be reached when a run starts, this
process logs offline from then on, and `wandb sync` uploads it later.
"""

import functools
import os
import shutil
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from superdyn.config import LoggerConfig
from superdyn.runs.folder import RunFolder
from superdyn.runs.status import State

ID_LENGTH = 32
"""Hex digits of the signature in a W&B id: 128 bits, and well below W&B's limit."""

EXIT_CODES: dict[State, int] = {"done": 0, "failed": 1, "interrupted": 255, "running": 255}
"""A run that ends as "running" could not write down that it was interrupted."""

REACH_SECONDS, UPLOAD_SECONDS = 20, 120
"""How long the first run waits for the server to answer, and the end of every run for its upload."""

ATTACHED_FILES = ("curve.parquet", "spectrum.parquet", "result.json")


def quiet_settings() -> Any:
    """W&B settings without console output, host statistics, git, code or package lists.

    Starting a run then takes milliseconds, and nothing about the machine or its environment leaves it.
    """
    import wandb

    return wandb.Settings(
        silent=True,
        console="off",
        disable_git=True,
        disable_code=True,
        save_code=False,
        init_timeout=REACH_SECONDS,
        finish_timeout=UPLOAD_SECONDS,
        symlink=False,  # absolute links would break when the folder is moved
        x_disable_meta=True,
        x_disable_machine_info=True,
        x_disable_stats=True,
        x_save_requirements=False,
    )


class WandbRun:
    """A live W&B run.

    Args:
        folder: the run's folder; W&B writes to its `wandb/`.
        signature: under which the run first began; makes its id.
        logger: project, entity and tags.
        group: the sweep's name.
        config: plain nested mapping to show as the run's configuration; its `notes` are the W&B run's too.
    """

    def __init__(self, folder: RunFolder, signature: str, logger: LoggerConfig, group: str, config: Mapping[str, Any]):
        import wandb

        self._folder = folder
        self._run = wandb.init(
            project=logger.project,
            entity=logger.entity,
            tags=list(logger.tags),
            group=group,
            name=folder.name,
            notes=config.get("notes") or None,
            id=signature[:ID_LENGTH],
            resume="allow",
            reinit="create_new",
            dir=str(folder.path.absolute()),  # W&B's service may be that of a process in another folder
            mode=_mode(),
            config=dict(config),
            allow_val_change=True,
            settings=quiet_settings(),
        )
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")

    def log(self, step: int, row: Mapping[str, int | float]) -> None:
        """Add one history row, under W&B's own step too, so that a row repeated after a resume stays one."""
        self._run.log(dict(row), step=step, commit=True)

    def finish(self, state: State, final_loss: float | None) -> None:
        """Attach the files, fill in the summary and end the run with the exit code of its state."""
        summary = {"state": state, "final_loss": final_loss, "fit": self._folder.result()}
        self._run.summary.update({key: value for key, value in summary.items() if value is not None})
        for name in ATTACHED_FILES:
            source, copy = self._folder.path / name, Path(self._run.dir) / name
            if source.is_file():
                _link_or_copy(source, copy)
                self._run.save(str(copy), base_path=self._run.dir, policy="now", glob=False)
        self._run.finish(exit_code=EXIT_CODES[state])

    def abandon(self) -> None:
        """End a run that W&B has failed to log, as failed and without a word if that fails too.

        An open run would keep its id in use, and a later attempt in this process could not log at all.
        """
        with suppress(Exception):
            self._run.finish(exit_code=EXIT_CODES["failed"])


def _mode() -> Any:
    """WANDB_MODE, offline by default, and offline instead of online where no server answers."""
    mode = os.environ.get("WANDB_MODE", "offline")
    return "offline" if mode == "online" and not _server_answers() else mode


@functools.cache
def _server_answers() -> bool:
    """Whether W&B can be used online; asked once, before a run is started, which would keep its id in use."""
    import wandb
    from wandb.errors import CommError, UsageError

    try:
        wandb.login(verify=True, timeout=REACH_SECONDS)
    except (CommError, UsageError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        warnings.warn(
            f"W&B cannot be used online ({reason}); runs are logged offline; upload them later with "
            "wandb sync SWEEP/*/wandb/offline-run-*",
            stacklevel=2,
        )
        return False
    return True


def _link_or_copy(source: Path, target: Path) -> None:
    """A second name for the same bytes where the file system has them; W&B itself would announce every link."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
