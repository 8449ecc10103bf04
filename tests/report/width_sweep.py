"""A finished grid of the autoencoder made from formulas: weight decays × a × widths, for tests of the report.

Every feature's loss falls from ½ p_i to a floor that makes the whole final loss L(0)/4 · K^-β with the β of `exponent`,
so that what the report measures is known. Axis legend: `t` measurement, `n` feature.
"""

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from jaxtyping import Float

from superdyn import analysis
from superdyn.config import RunConfig
from superdyn.features.probabilities import feature_probabilities
from superdyn.runs.folder import RunFolder
from superdyn.runs.status import Status
from superdyn.runs.sweep_folder import SweepPoint, add_points, run_folder_name
from superdyn.training.schedules import learning_rates, lr_time


@dataclass(frozen=True)
class Grid:
    """Size of the grid; `Grid()` is that of Liu, Liu, Gore 2025: 540 runs."""

    decays: tuple[float, ...] = (-1.0, -0.78, -0.56, -0.33, -0.11, 0.11, 0.33, 0.56, 0.78, 1.0)
    exponents: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)
    widths: tuple[int, ...] = (10, 16, 25, 40, 63, 100)
    seeds: tuple[int, ...] = (0,)
    n_features: int = 1000
    max_steps: int = 20_000
    points_per_decade: int = 10


TINY = Grid((-1.0, 1.0), (0.0, 1.0, 2.0), (4, 8, 16), (0, 1), 32, 300)


def exponent(decay: float, a: float) -> float:
    """The β that the made-up losses have: 1 at decay −1, a/2 at decay 1."""
    share = (decay + 1) / 2
    return (1 - share) + share * a / 2


def write_grid(root: Path, grid: Grid) -> Path:
    """All runs of the grid with their fits, and the sweep's manifest."""
    points = []
    for decay, a, width, seed in product(grid.decays, grid.exponents, grid.widths, grid.seeds):
        config = _config(grid, decay, a, width, seed)
        swept = {"width": str(width), "decay": f"{decay:g}", "a": f"{a:g}", "seed": str(seed)}
        name = run_folder_name(swept, config.signature())
        points.append(SweepPoint(config.signature(), name))
        _write_run(root / name, config)
    add_points(root, points)
    return root


def _config(grid: Grid, decay: float, a: float, width: int, seed: int) -> RunConfig:
    return RunConfig.from_mapping({
        "seed": seed,
        "data": {"n_features": grid.n_features, "data_exponent": a, "importance_exponent": 0.0},
        "model": {"name": "elhage", "width": width, "core": "identity", "activation": "relu", "bias": True},
        "optimizer": {"name": "adamw", "lr": 0.01, "schedule": "cosine", "warmup_fraction": 0.05,
                      "final_fraction": 0.05, "weight_decay": decay, "weight_decay_on": "encoder"},
        "trainer": {"max_steps": grid.max_steps, "points_per_decade": grid.points_per_decade},
    })  # fmt: skip


def _feature_losses(config: RunConfig, steps: np.ndarray) -> Float[np.ndarray, "t n"]:
    a, last = config.data.data_exponent, config.trainer.max_steps
    start = 0.5 * feature_probabilities(config.data.n_features, a, 1.0)
    rng = np.random.default_rng(config.seed)
    halved = 0.003 * last * (1 + np.arange(start.size)) ** 0.2 * np.exp(0.2 * rng.standard_normal(start.size))
    decay = 1.0 / (1.0 + np.divide.outer(steps, halved))
    level = 0.25 * config.model.width ** -exponent(config.optimizer.weight_decay, a)
    floor = level * np.exp(0.02 * rng.standard_normal())
    return start * (floor + (1 - floor) * (decay - decay[-1]) / (1 - decay[-1]))


def _write_run(folder: Path, config: RunConfig) -> None:
    run, trainer = RunFolder(folder), config.trainer
    run.prepare(config.to_mapping(), config.signature())
    count = int(trainer.points_per_decade * np.log10(trainer.max_steps)) + 1
    steps = np.unique(np.concatenate([[0], np.geomspace(1, trainer.max_steps, count).round()])).astype(np.int64)
    losses = _feature_losses(config, steps)
    times = lr_time(learning_rates(config.optimizer, trainer.max_steps))[steps]
    run.write_curve({"step": steps, "lr_time": times, "loss": losses.sum(axis=1)})
    run.write_spectrum(steps, losses)
    run.write_result(analysis.run_result(folder, n_boot=2))
    run.write_status(Status("done", int(steps[-1]), trainer.max_steps, config.signature(), run.name))
