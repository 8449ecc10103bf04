"""Shape annotations are checked at run time in tests, and every test trains in a folder of its own."""

import torch
from jaxtyping import install_import_hook

# Before anything imports superdyn. Not where there is a GPU, whose compiler cannot trace the checks.
if not torch.cuda.is_available():
    install_import_hook("superdyn", "beartype.beartype")

import copy
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from superdyn.config import RunConfig
from superdyn.runs.folder import RunFolder
from superdyn.sweeps.points import Point
from superdyn.sweeps.sweep import run_sweep

SMALL: dict[str, Any] = {
    "data": {"n_features": 32, "data_exponent": 1.5, "importance_exponent": 0.5, "batch_size": 32, "eval_size": 256},
    "model": {"name": "trained_embedding", "width": 16, "activation": "relu", "core_init_scale": 0.5},
    "optimizer": {"name": "sgd", "lr": 0.1},
    "trainer": {"max_steps": 20, "chunk_steps": 8, "progress": False},
}
"""A run that trains in milliseconds."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked `gpu` need one, and what torch's compiler warns of on it fails none of them."""
    missing = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(missing)
            item.add_marker(pytest.mark.filterwarnings("default"))


@pytest.fixture(scope="session")
def make_config() -> Callable[..., RunConfig]:
    """Build a small `RunConfig`; keyword arguments are dotted keys with `__` for the dot."""

    def make(**changes: Any) -> RunConfig:
        mapping = copy.deepcopy(SMALL)
        for key, value in changes.items():
            *sections, name = key.split("__")
            section = mapping
            for part in sections:
                section = section.setdefault(part, {})
            section[name] = value
        return RunConfig.from_mapping(mapping)

    return make


@pytest.fixture
def train_together(tmp_path) -> Callable[..., list[RunFolder]]:
    """Train configurations as one sweep in a folder of the test; returns their run folders in order."""

    def train(configs: Sequence[RunConfig], name: str = "sweep") -> list[RunFolder]:
        points = [Point((), config, RunFolder(tmp_path / name / config.signature()[:8])) for config in configs]
        run_sweep(points, tmp_path / name)
        return [point.folder for point in points]

    return train
