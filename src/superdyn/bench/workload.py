"""The training job that every competitor runs: one student, one kind of data, one optimizer, R times.

The student is `trained_embedding` of `conf/model`: y = relu(Wᵀ B W x), W (K, N) and B (K, K) trained, on power-law
sparse features with values uniform on (0, 2), against the teacher A x, A_ii = i^-b. Axis legend: `r` run, `t` step, `s`
sample, `n` feature, `k` hidden.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float32

from superdyn.config import RunConfig
from superdyn.features.generator import Stream
from superdyn.features.probabilities import feature_probabilities, importances
from superdyn.features.sampler import make_sampler
from superdyn.models.embedding import initial_core, initial_embedding


@dataclass(frozen=True)
class Workload:
    """R runs of one shape that differ in their seed and learning rate.

    Attributes:
        core_init_scale: standard deviation of B(0) times √K.
    """

    runs: int
    n_features: int
    width: int
    batch_size: int
    optimizer: Literal["sgd", "adam"] = "sgd"
    lr: float = 0.1
    data_exponent: float = 1.5
    importance_exponent: float = 0.5
    core_init_scale: float = 0.5

    def config(self, run: int, steps: int = 1, device: str = "cpu") -> RunConfig:
        """This job's run number `run` as superdyn trains it."""
        return RunConfig.from_mapping(
            {
                "seed": run,
                "data": {
                    "eval_size": 1024,
                    "n_features": self.n_features,
                    "data_exponent": self.data_exponent,
                    "importance_exponent": self.importance_exponent,
                    "batch_size": self.batch_size,
                },
                "model": {
                    "name": "trained_embedding",
                    "width": self.width,
                    "activation": "relu",
                    "core_init_scale": self.core_init_scale,
                },
                "optimizer": {"name": self.optimizer, "lr": self.learning_rate(run)},
                "trainer": {
                    "max_steps": steps,
                    "accelerator": "gpu" if device == "cuda" else "cpu",
                    "progress": False,
                },
                "logger": {"name": "wandb"},
            }
        )

    def learning_rate(self, run: int) -> float:
        """η of a run: the runs of a grid differ in it."""
        return self.lr * (1.0 - 0.5 * run / max(self.runs, 1))

    @property
    def probabilities(self) -> Float32[np.ndarray, "n"]:
        """p_i, summing to 1."""
        return feature_probabilities(self.n_features, self.data_exponent, 1.0).astype(np.float32)

    @property
    def importance(self) -> Float32[np.ndarray, "n"]:
        """A_ii = i^-b."""
        return importances(self.n_features, self.importance_exponent).astype(np.float32)


class Start(NamedTuple):
    """Initial parameters of one run."""

    embedding: Float32[np.ndarray, "k n"]
    core: Float32[np.ndarray, "k k"]


def initial_parameters(workload: Workload, run: int) -> Start:
    """The parameters at which every competitor starts run number `run`."""
    return Start(
        initial_embedding(run, "gaussian", workload.width, workload.n_features, "encoder").astype(np.float32),
        initial_core(run, workload.width, workload.core_init_scale).astype(np.float32),
    )


def shared_batches(workload: Workload, run: int, steps: int) -> Float32[np.ndarray, "t s n"]:
    """superdyn's own batches of the first steps, on which all competitors must reach the same losses."""
    return make_sampler(workload.config(run).data, run).draw(Stream.TRAIN, 0, steps)
