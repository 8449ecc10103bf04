"""The students that a run has left behind, for a notebook: parameters at a step, ready to be called and measured."""

from pathlib import Path
from typing import NamedTuple

from torch import nn

from superdyn.config import RunConfig
from superdyn.models.protocol import DTYPES, build_student
from superdyn.runs.checkpoints import checkpoint_steps, load_checkpoint
from superdyn.runs.folder import RunFolder


class Trained(NamedTuple):
    """A pack of one: `student(x)` maps (1, s, n) to (1, s, n), and every parameter has the run axis first."""

    student: nn.Module
    config: RunConfig
    step: int


def load_student(run: str | Path, step: int | None = None) -> Trained:
    """The student of a run after `step` optimizer steps, of the newest checkpoint when None.

    A run keeps its last checkpoints only, unless `trainer.checkpoint_schedule=public` has it keep log-spaced ones.

    Raises:
        ValueError: the folder is no run, or has no readable checkpoint of this step.
    """
    folder = RunFolder(run)
    mapping, steps = folder.config(), checkpoint_steps(folder.checkpoints)
    if mapping is None or not steps or (step is not None and step not in steps):
        raise ValueError(f"run={str(run)!r}, step={step}: there is no such checkpoint; allowed are {steps}.")
    checkpoint = load_checkpoint(folder.checkpoints, steps[-1] if step is None else step)
    if checkpoint is None:
        raise ValueError(f"run={str(run)!r}, step={step}: the checkpoint cannot be read.")
    config = RunConfig.from_mapping(mapping)
    student = build_student([config]).to(DTYPES[config.trainer.precision])
    own = student.state_dict()
    saved = {name.removeprefix("student/"): value for name, value in checkpoint.state.items()}
    for name, value in own.items():
        if name in saved:  # a part that stands still at zero is not kept
            value[0].copy_(saved[name])
    return Trained(student.eval(), config, checkpoint.step)
