"""Small configurations for the tests of the data."""

from collections.abc import Callable
from typing import Any

import pytest

from superdyn.config import DataConfig, RunConfig


def _data(**changes: Any) -> dict[str, Any]:
    return {"n_features": 16, "data_exponent": 1.5, "importance_exponent": 1.0, "batch_size": 32} | changes


@pytest.fixture
def data_config() -> Callable[..., DataConfig]:
    """Makes a `DataConfig` of 16 features, with changes."""
    return lambda **changes: DataConfig(**_data(**changes))


@pytest.fixture
def run_config() -> Callable[..., RunConfig]:
    """Makes a `RunConfig`; keyword arguments change the data, `top` and `trainer` the rest."""

    def make(top: dict[str, Any] | None = None, trainer: dict[str, Any] | None = None, **data: Any) -> RunConfig:
        section = _data(**data)
        mapping = {
            "data": section,
            "model": {"name": "trained_embedding", "width": max(1, section["n_features"] // 2)},
            "optimizer": {"name": "sgd", "lr": 0.1},
            "trainer": {"max_steps": 40, "chunk_steps": 16} | (trainer or {}),
        }
        return RunConfig.from_mapping(mapping | (top or {}))

    return make
