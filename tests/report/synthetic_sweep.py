"""Run folders made from formulas instead of training, for tests of the report.

`no_superposition` follows the exact spectral sum, ℓ_i(t) = ½ λ_i A_ii² (1 − ηλ_i)^{2t}; the bottleneck is a
made-up student whose features decay as 1/(1 + t/t_i) with t_i ∝ i^{0.3 a} onto a floor. Axis legend: `t`
measurement, `n` feature.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from superdyn import analysis, theory
from superdyn.config import RunConfig
from superdyn.runs.folder import RunFolder
from superdyn.runs.status import Status
from superdyn.runs.sweep_folder import SweepPoint, add_points, run_folder_name

GRID = ((1.5, 0.0), (2.0, 0.0), (1.5, 1.0), (2.0, 1.0))


@dataclass(frozen=True)
class Plan:
    """Size of a synthetic sweep: grid of (a, b), seeds, features, steps."""

    pairs: tuple[tuple[float, float], ...] = GRID
    n_seeds: int = 2
    n_features: int = 64
    max_steps: int = 20_000
    models: tuple[str, ...] = ("no_superposition", "trained_embedding")


SMALL = Plan(pairs=((1.5, 0.0), (2.0, 1.0)), n_seeds=2, n_features=32, max_steps=3000)
ATTACK = "<script>alert('run')</script>"
MISSING = "seed=9-ffffffff"


def run_config(model: str, pair: tuple[float, float], seed: int, plan: Plan) -> RunConfig:
    """The configuration of one point."""
    alone = model == "no_superposition"
    students = {"width": plan.n_features, "train_encoder": False, "encoder_init": "identity"} if alone else {
        "width": plan.n_features // 2, "activation": "relu", "core_init_scale": 0.1}  # fmt: skip
    return RunConfig.from_mapping({
        "seed": seed,
        "loss": "population" if alone else "sampled",
        "data": {"n_features": plan.n_features, "data_exponent": pair[0], "importance_exponent": pair[1],
                 "value_law": "signed" if alone else "uniform"},
        "model": {"name": model, **students},
        "optimizer": {"name": "sgd", "lr": 1.0},
        "trainer": {"max_steps": plan.max_steps},
    })  # fmt: skip


def feature_losses(config: RunConfig, steps: np.ndarray) -> np.ndarray:
    """ℓ_i(t) (t, n): exact for K = N, made up and noisy for the bottleneck."""
    data = config.data
    exact = theory.spectral_loss(
        steps, n_features=data.n_features, data_exponent=data.data_exponent,
        importance_exponent=data.importance_exponent, lr=config.optimizer.lr, per_feature=True,
    )  # fmt: skip
    if config.model.name == "no_superposition":
        return exact
    ranks = np.arange(1.0, data.n_features + 1)
    rng = np.random.default_rng(config.seed)
    scale = 8.0 * ranks ** (0.3 * data.data_exponent) * np.exp(0.1 * rng.standard_normal(ranks.size))
    decay = 3e-4 + 1.0 / (1.0 + np.divide.outer(steps, scale))
    noise = np.exp(0.03 * rng.standard_normal(exact.shape))
    noise[0] = 1.0
    return exact[0] * decay * noise


def write_run(folder: Path, config: RunConfig, *, state: str = "done", error: str | None = None) -> RunFolder:
    """One run's files, with the fit if it is done."""
    run = RunFolder(folder)
    run.prepare(config.to_mapping(), config.signature())
    last = config.trainer.max_steps
    steps = np.unique(np.concatenate([[0], np.logspace(0, np.log10(last), 25 * 5).round()])).astype(np.int64)
    if state != "done":
        steps = steps[: steps.size // 2]
    losses = feature_losses(config, steps)
    run.write_curve({"step": steps, "lr_time": steps * config.optimizer.lr, "loss": losses.sum(axis=1)})
    run.write_spectrum(steps, losses)
    if state == "done":
        run.write_result(analysis.run_result(folder, n_boot=20))
    run.write_status(Status(state, int(steps[-1]), last, config.signature(), run.name, error))  # pyright: ignore[reportArgumentType]
    return run


def write_sweep(root: Path, plan: Plan) -> Path:
    """A finished sweep over models × (a, b) × seeds."""
    points = [
        run_config(model, pair, seed, plan)
        for model in plan.models for pair in plan.pairs for seed in range(plan.n_seeds)
    ]  # fmt: skip
    for config in points:
        add_run(root, config)
    return root


def add_run(root: Path, config: RunConfig, *, state: str = "done", error: str | None = None) -> RunFolder:
    """One more run in a sweep folder, listed in its manifest."""
    swept = {"model": config.model.name, "a": f"{config.data.data_exponent:g}",
             "b": f"{config.data.importance_exponent:g}", "seed": str(config.seed)}  # fmt: skip
    name = run_folder_name(swept, config.signature())
    add_points(root, [SweepPoint(config.signature(), name)])
    return write_run(root / name, config, state=state, error=error)
