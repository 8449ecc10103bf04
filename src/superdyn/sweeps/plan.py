"""What a launch would train: points, packs, parameters, steps, and the time and memory that they will take.

Time is measured, not guessed: a few steps and one measurement of a pack of every kind are trained on a copy that leaves
no trace, and extrapolated. Writing files, W&B and fits come on top.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.table import Table

from superdyn.features.datamodule import Chunk, FeatureDataModule
from superdyn.features.device_draws import trains_on_gpu
from superdyn.models.product import matmul_operands
from superdyn.report.terminal import console
from superdyn.sweeps.executors.slots import slots_of
from superdyn.sweeps.idle_settings import warn_of_idle_settings
from superdyn.sweeps.launch import Launch, failures
from superdyn.sweeps.member_memory import member_bytes
from superdyn.sweeps.packing import Pack, make_packs
from superdyn.sweeps.points import Point
from superdyn.training.grid import measurement_steps
from superdyn.training.module import SuperpositionModule
from superdyn.training.threads import cpu_threads

_MEASURED_SECONDS = 0.3
"""How long the steps of a kind of pack are timed, at least."""


@dataclass(frozen=True)
class PackPlan:
    """Packs of one kind and size.

    Attributes:
        packs: how many there are; `members`: runs in each.
        parameters: trained ones of one run.
        steps: optimizer steps that are left to each pack.
        seconds: of one pack; None where its device is not here.
        gibibytes: estimated memory of one pack.
    """

    example: Point
    packs: int
    members: int
    parameters: int
    steps: int
    seconds: float | None
    gibibytes: float


def print_plan(points: Sequence[Point], sweep_dir: Path, *, retry_failed: bool) -> None:
    """Print the plan of a launch; nothing is trained, and no folder is made."""
    failed = failures(points)
    launch = Launch(sweep_dir, tuple(points), failed if retry_failed else {})
    waiting = launch.waiting()
    warn_of_idle_settings(waiting, points)
    done = sum(point.state() == "done" for point in points)
    plans = plan_packs(waiting)
    kept = 0 if retry_failed else len(failed)
    print(
        f"{len(points)} points in {sweep_dir}: {done} done, {len(waiting)} to train in {sum(p.packs for p in plans)} "
        f"packs, {kept} failed before, {len(launch.live())} in training elsewhere"
    )
    if plans:
        console().print(_table(plans))
        print(_total(plans, waiting))


def plan_packs(points: Sequence[Point]) -> list[PackPlan]:
    """One row per kind and size of pack, in the order of training."""
    kinds: dict[tuple[str, int, int], list[Pack]] = {}
    for pack in make_packs(points):
        kinds.setdefault((pack.points[0].config.pack_key(), len(pack.points), pack.start_step), []).append(pack)
    return [_plan(packs) for packs in kinds.values()]


def _plan(packs: Sequence[Pack]) -> PackPlan:
    first = packs[0]
    config, members = first.points[0].config, len(first.points)
    parameters, seconds = _measured(first)
    memory = members * member_bytes(config) / 2**30
    left = config.trainer.max_steps - first.start_step
    return PackPlan(first.points[0], len(packs), members, parameters, left, seconds, memory)


def _measured(pack: Pack) -> tuple[int, float | None]:
    """Trained parameters of one member, and the seconds that the pack will take on its device."""
    configs = [point.config for point in pack.points]
    trainer = configs[0].trainer
    module = SuperpositionModule(configs)
    parameters = sum(p[0].numel() for p in module.student.parameters() if p.requires_grad)
    on_gpu = trains_on_gpu(trainer)
    if trainer.accelerator == "gpu" and not on_gpu:
        return parameters, None
    module.to("cuda" if on_gpu else "cpu")
    with cpu_threads(configs), matmul_operands(trainer.matmul):
        module.engine.prepare()
        stream = FeatureDataModule(configs, module.boundaries).stream
        draws = None if configs[0].loss == "population" else stream.draws
        size = 1 if configs[0].data.kind == "tokens" else stream.steps_per_chunk  # a language model's takes seconds
        step = _seconds_per_step(module, draws, size, trainer.max_steps)
        measurement = _seconds(module.measure)
    measured = measurement_steps(trainer.max_steps, trainer.points_per_decade)
    n_left = sum(s >= pack.start_step for s in measured)
    return parameters, (trainer.max_steps - pack.start_step) * step + n_left * measurement


def _seconds_per_step(module: SuperpositionModule, draws: object, chunk_steps: int, max_steps: int) -> float:
    size = min(chunk_steps, max_steps)

    def chunk() -> None:
        module.train_chunk(Chunk(0, size, draws))  # pyright: ignore[reportArgumentType]

    return _seconds(chunk) / size


def _seconds(act: Callable[[], object]) -> float:
    """Mean time of one call, after a first one that is not counted."""
    act()
    calls, began = 0, time.perf_counter()
    while not calls or time.perf_counter() - began < _MEASURED_SECONDS:
        act()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        calls += 1
    return (time.perf_counter() - began) / calls


def _table(plans: Sequence[PackPlan]) -> Table:
    table = Table(box=None, pad_edge=False)
    columns = ("packs", "runs each", "model", "N", "K", "parameters/run", "steps", "GiB/pack", "time/pack")
    for column in columns:
        table.add_column(column, justify="left" if column == "model" else "right")
    for plan in plans:
        config = plan.example.config
        numbers = (config.data.n_features, config.model.width, plan.parameters, plan.steps)
        table.add_row(
            str(plan.packs), str(plan.members), config.model.name, *(f"{number:,}" for number in numbers),
            f"{plan.gibibytes:.2g}", "no such device here" if plan.seconds is None else duration(plan.seconds),
        )  # fmt: skip
    return table


def _total(plans: Sequence[PackPlan], waiting: Sequence[Point]) -> str:
    config = waiting[0].config
    workers = len(slots_of(config)) if config.launcher.name == "local" else 1
    run_steps = sum(plan.packs * plan.members * plan.steps for plan in plans)
    times = [plan.packs * plan.seconds for plan in plans if plan.seconds is not None]
    text = f"{run_steps:,} run-steps"
    if len(times) < len(plans):
        return f"{text}; the time can only be estimated where the device is"
    if config.launcher.name in ("slurm", "ray"):
        return f"{text}; {duration(sum(times))} of this machine's time, divided by the tasks that run at a time"
    return f"{text}; about {duration(sum(times) / workers)} plus files, W&B and fits"


def duration(seconds: float) -> str:
    """E.g. 0.4 s, 12 min, 3.5 h."""
    for size, unit in ((3600.0, "h"), (60.0, "min")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.2g} s"
