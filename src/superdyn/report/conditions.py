"""Which runs belong together: a condition is what varies between runs apart from a, b and the seed.

Keys that merely follow from others (the width that a model preset fixes, the number of steps that a sets)
would make labels long without telling runs apart, so a key joins the condition only if it separates runs that
the keys before it, with a and b, do not. What cannot change a result (`config.INCIDENTAL_FIELDS`) is left
out, as in a run's signature.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from superdyn.config import INCIDENTAL_FIELDS, RunConfig

PAIR_KEYS = ("data.data_exponent", "data.importance_exponent")
LEADING_KEYS = ("model.name", "model.width", "data.n_features", "optimizer.name", "optimizer.lr")
ALWAYS = ("model.name", "optimizer.name")
SHORT = {
    "model.width": "K",
    "data.n_features": "N",
    "optimizer.lr": "η",
    "data.density": "E",
    "data.batch_size": "batch",
    "data.value_law": "values",
    "trainer.max_steps": "steps",
}
MODEL_ORDER = (
    "no_superposition",
    "frozen_embedding",
    "trained_embedding",
    "elhage",
    "transformer",
    "language_model",
)
BARE = ("model.name", "optimizer.name", "model.activation")


def condition_keys(frame: pd.DataFrame) -> list[str]:
    """The configuration keys that tell the conditions of a sweep apart, the most telling first.

    Args:
        frame: one row per run, as `analysis.load_sweep` returns it; configuration keys are dotted or
        top-level.
    """
    varying = [key for key in _config_columns(frame) if _texts(frame, key).nunique() > 1]
    ordered = [k for k in LEADING_KEYS if k in varying] + [k for k in varying if k not in LEADING_KEYS]
    chosen: list[str] = []
    for key in ordered:
        settled = [*chosen, *(k for k in PAIR_KEYS if k in frame.columns)]
        if key in ALWAYS or _separates(frame, settled, key):
            chosen.append(key)
    return chosen


def condition_label(settings: Mapping[str, object]) -> str:
    """Keys and their values as a short text, e.g. `trained_embedding, K = 32, adam`."""
    return ", ".join(_phrase(key, value) for key, value in settings.items())


def with_conditions(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The frame with a `condition` column, ordered by condition, and the keys that make up a condition.

    A point of the sweep that has no folder yet has no configuration to go by: its condition is empty.
    """
    known = frame["path"].notna().to_numpy(bool)
    keys = condition_keys(frame.loc[known])
    named = keys or ["model.name"]  # without differences the model's name is the best title
    rows = zip(known, *(frame[key] for key in named), strict=True) if known.any() else [(False,)] * len(frame)
    labels = [condition_label(dict(zip(named, values, strict=True))) if there else "" for there, *values in rows]
    ranks = pd.DataFrame({key: _rank(frame[key].tolist(), MODEL_ORDER if key == "model.name" else ()) for key in keys})
    order = ranks.sort_values(keys, kind="stable").index if keys else frame.index
    return frame.assign(condition=labels).loc[order], keys


def _rank(values: list[Any], leading: Sequence[str]) -> list[int]:
    """Places in the natural order: `leading` first, then numbers by size, texts by alphabet, NaN last."""

    def place(value: object) -> tuple:
        if value in leading:
            return 0, leading.index(str(value)), ""
        if isinstance(value, float) and math.isnan(value):
            return 3, 0, ""
        return (1, value, "") if isinstance(value, int | float) else (2, 0, str(value))

    places = sorted({place(value) for value in values})
    return [places.index(place(value)) for value in values]


def _config_columns(frame: pd.DataFrame) -> list[str]:
    sections = tuple(name for name in RunConfig.model_fields if name not in INCIDENTAL_FIELDS)
    settled = (*PAIR_KEYS, "seed")
    return [
        column
        for column in frame.columns
        if column.split(".")[0] in sections and column not in settled and not _incidental(column)
    ]


def _incidental(column: str) -> bool:
    return any(column == root or column.startswith(root + ".") for root in INCIDENTAL_FIELDS)


def _separates(frame: pd.DataFrame, settled: Sequence[str], key: str) -> bool:
    values = pd.DataFrame({name: _texts(frame, name) for name in (*settled, key)})
    if not settled:
        return True
    return bool((values.groupby(list(settled))[key].nunique() > 1).any())


def _texts(frame: pd.DataFrame, key: str) -> pd.Series:
    return pd.Series([json.dumps(value, default=str) for value in frame[key]], index=frame.index)


def _phrase(key: str, value: object) -> str:
    text = "none" if value is None or value != value else f"{value:g}" if isinstance(value, float) else str(value)
    if key in BARE:
        return text
    return f"{SHORT.get(key, key.split('.')[-1])} = {text}"
