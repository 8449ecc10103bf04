"""A step on the exact risk against a step on a sampled batch of 256, for linear students with N = 1024.

The batch is sparse, as superdyn trains it, or a dense array, as everybody else does.
"""

import time
from typing import Any

import torch

from superdyn.bench.together import spread
from superdyn.config import RunConfig
from superdyn.features.batching import dense_batches
from superdyn.features.datamodule import Draws, FeatureDataModule
from superdyn.features.generator import Stream
from superdyn.training.engine import Engine

STUDENTS: tuple[tuple[str, int, dict[str, Any]], ...] = (
    ("no superposition (identity embedding)", 1024, {"encoder_init": "identity", "train_encoder": False}),
    ("frozen embedding", 512, {"train_encoder": False}),
    ("frozen embedding", 64, {"train_encoder": False}),
    ("trained embedding", 512, {}),
    ("trained embedding", 64, {}),
)


def exact_against_sampled(device: str, n_features: int = 1024, steps: int = 5, repetitions: int = 5) -> list[Any]:
    """One row per student: how many times as fast the exact step is, the drawing of the batch included."""
    rows = []
    for name, width, model in STUDENTS:
        shape = (n_features, min(width, n_features))
        exact, sampled = (_engine(loss, shape, model, device) for loss in ("population", "sampled"))
        ratios: dict[str, list[float]] = {"sparse": [], "dense": []}
        for _ in range(repetitions + 1):
            seconds = _seconds(exact, steps)
            for form, values in ratios.items():
                values.append(_seconds(sampled, steps, dense=form == "dense") / seconds)
        # The first repetition also made the constant products of a frozen embedding.
        rows.append({"student": name, "width": width} | {form: spread(values[1:]) for form, values in ratios.items()})
    return rows


def _engine(loss: str, shape: tuple[int, int], model: dict[str, Any], device: str) -> Engine:
    n_features, width = shape
    config = RunConfig.from_mapping(
        {
            "loss": loss,
            "data": {"n_features": n_features, "data_exponent": 1.5, "importance_exponent": 0.5},
            "model": {"name": "student", "width": width, "core_init_scale": 0.5, **model},
            "optimizer": {"name": "sgd", "lr": 0.01},
            "trainer": {"max_steps": 10**6},
        }
    )
    engine = Engine([config]).to(device)
    engine.prepare()
    return engine


def _seconds(engine: Engine, steps: int, *, dense: bool = False) -> float:
    (config,) = engine.configs
    draws = FeatureDataModule([config], [0, steps]).stream.draws
    start = time.perf_counter()
    batches = None
    if config.loss == "sampled":
        if dense:
            assert isinstance(draws, Draws)
            points = draws.samplers[0].step_points(Stream.TRAIN, 0, steps)
            shape = (1, config.data.batch_size, config.data.n_features)
            batches = dense_batches([points], steps, shape, "float32").to(engine.rates.device)
        else:
            batches = draws.batches(0, steps).to(engine.rates.device)
    engine.run(0, steps, batches)
    if engine.rates.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start
