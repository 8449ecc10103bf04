"""A sweep as the figures see it: its table of runs, and the curve of every run that has one.

Reads run folders through `analysis` once, so that the figures share what was read. A run whose state is not
`done` stays in the table; its curve is drawn only if it is complete. Models whose checkpoints were evaluated stand
apart from trainings: they have no (a, b), no seed and no theory. Axis legend: `t` measurement, `n` feature.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from jaxtyping import Float

from superdyn import analysis
from superdyn.analysis.evaluated import KIND
from superdyn.analysis.excess import known_least, told_excess
from superdyn.report.all_runs import load_table, records
from superdyn.report.conditions import PAIR_KEYS, with_conditions
from superdyn.report.data_law import DataLaw, legend_text
from superdyn.report.pooled import pooled_exponents
from superdyn.report.style import Pair

T = TypeVar("T")
MAX_PANELS, LEAST_PANELS, MAX_LINES = 18, 6, 108
"""Conditions drawn as panels and lines in all of them; a sweep with more shows some conditions, evenly chosen, and
lists all in the tables."""


@dataclass(frozen=True)
class Run:
    """One finished run: its row of the sweep's table and its curve."""

    row: dict[str, Any]
    curve: pd.DataFrame

    @property
    def path(self) -> Path:
        """The run's folder."""
        return Path(self.row["path"])

    @property
    def pair(self) -> Pair:
        """(a, b)."""
        return float(self.row["data.data_exponent"]), float(self.row["data.importance_exponent"])

    @property
    def law(self) -> DataLaw:
        """What its data are."""
        return DataLaw.of(self.row)

    @property
    def reads_tokens(self) -> bool:
        """Whether it is a language model's."""
        return analysis.reads_tokens(self.row)

    def floor(self) -> float:
        """The least possible L/L(0), NaN where it is not known."""
        least = known_least(self.curve)
        if least is None:  # of the language, in runs from before that of their evaluation tokens was recorded
            least = self.curve["loss_floor"].iloc[-1] if "loss_floor" in self.curve else np.nan
        return float(least / self.initial_loss)

    @property
    def initial_loss(self) -> float:
        """L(0), NaN where a student begins without any loss, of which nothing can be a part."""
        first = float(self.curve["loss"].iloc[0])
        return first if first > 0 else np.nan

    def time(self, scheduled: bool) -> Float[np.ndarray, "t"]:
        """Optimizer steps, or learning-rate time τ where a schedule makes steps unequal."""
        return self.curve["lr_time" if scheduled else "step"].to_numpy(float)

    def relative_loss(self) -> Float[np.ndarray, "t"]:
        """L(t)/L(0)."""
        return self.curve["loss"].to_numpy(float) / self.initial_loss

    def relative_excess(self) -> Float[np.ndarray, "t"]:
        """(L(t) − L_least)/(L(0) − L_least), NaN where it is drowned; L(t)/L(0) where the least loss is not known."""
        excess = told_excess(self.curve)
        return excess / (excess[0] if excess[0] > 0 else np.nan)

    def theory(self) -> analysis.TheoryCurve | None:
        """The theory of this very student, exact or approximate, or None where there is none."""
        return analysis.exact_loss(self.row, self.curve["step"], self.curve["lr_time"])

    def null(self) -> analysis.TheoryCurve | None:
        """The exact curve without superposition (K = N) of the same finite N; None for token models."""
        return analysis.null_loss(self.row, self.curve["step"], self.curve["lr_time"])


@dataclass(frozen=True)
class Study:
    """All runs of one folder, trainings grouped by condition and (a, b), and evaluated models in order of name."""

    root: Path
    frame: pd.DataFrame
    keys: list[str]
    groups: dict[str, dict[Pair, list[Run]]]
    evaluations: list[Run] = field(default_factory=list)

    @property
    def pairs(self) -> list[Pair]:
        """The (a, b) that have a finished run, b first."""
        found = {pair for by_pair in self.groups.values() for pair in by_pair}
        return sorted(found, key=_b_then_a)

    def label(self, pair: Pair) -> str:
        """What stands in legends for runs with these values of the two keys: `a = 1.5, b = 0`, `Zipf tokens, a = 1`.

        Where tokens come from is left to the names of the conditions if it differs between them.
        """
        return legend_text(self._laws(pair), named=len({run.law.name for run in self.runs}) == 1)

    def labelled(self, looks: Mapping[Pair, T]) -> dict[str, T]:
        """By the label of each."""
        return {self.label(pair): look for pair, look in looks.items()}

    def law_label(self, pair: Pair) -> str:
        """The same in short: without b where that does not vary, and without the source of tokens that have an a."""
        laws = self._laws(pair)
        if len({b for _, b in self.pairs}) == 1:
            laws = [replace(law, b=math.nan) for law in laws]
        return legend_text(laws, named=False)

    def law_of(self, row: Mapping[str, Any]) -> DataLaw:
        """What the data of a row of `pooled` are."""
        return self.groups[row["condition"]][row[PAIR_KEYS[0]], row[PAIR_KEYS[1]]][0].law

    def _laws(self, pair: Pair) -> list[DataLaw]:
        return list(dict.fromkeys(run.law for by_pair in self.groups.values() for run in by_pair.get(pair, ())))

    @property
    def runs(self) -> list[Run]:
        """Every finished training, in the order of the groups."""
        return [run for by_pair in self.groups.values() for runs in by_pair.values() for run in runs]

    @property
    def most_panels(self) -> int:
        """As many as there may be with a line for each (a, b)."""
        return min(MAX_PANELS, max(LEAST_PANELS, MAX_LINES // max(1, len(self.pairs))))

    @property
    def panels(self) -> dict[str, dict[Pair, list[Run]]]:
        """The conditions that are drawn, at most `most_panels`, evenly chosen."""
        return {condition: self.groups[condition] for condition in spread(list(self.groups), self.most_panels)}

    @property
    def selection(self) -> str:
        """The end of a caption where conditions are left out."""
        shown, total = len(self.panels), len(self.groups)
        return (
            "" if shown == total else f" {shown} of {total} conditions, evenly chosen, are drawn; the tables list all."
        )

    @property
    def reads_tokens(self) -> bool:
        """Whether there are language models among the runs, whose spectra are of bins of tokens."""
        return any(run.reads_tokens for run in self.runs)

    def kinds(self) -> "list[Study]":
        """The trainings on features and those on tokens, which have other figures; one of them where all are alike."""
        parts = [{name: of for name, of in self.groups.items() if _tokens(of) == tokens} for tokens in (False, True)]
        if not self.evaluations and not all(parts):
            return [self] if self.groups else []
        return [
            replace(self, frame=self.frame[self.frame["condition"].isin(list(groups))], groups=groups, evaluations=[])
            for groups in parts
            if groups
        ]

    @property
    def notes(self) -> list[str]:
        """The distinct texts under `notes`, those of runs made before the key existed left out."""
        found = self.frame["notes"].tolist() if "notes" in self.frame else []
        return sorted({note for note in found if isinstance(note, str)} - {""})

    @property
    def scheduled(self) -> bool:
        """Whether any run changed its learning rate, so that τ and not t is the time axis."""
        return any(_scheduled(run.row) for run in self.runs)

    @cached_property
    def pooled(self) -> pd.DataFrame:
        """Exponents over seeds, one row per condition and (a, b); see `pooled_exponents`."""
        return pooled_exponents(self.frame.loc[~_evaluated(self.frame)], list(self.groups))

    @property
    def time_label(self) -> str:
        """The label of the time axis, with its symbol."""
        return r"learning-rate time  $\tau = \sum \eta$" if self.scheduled else r"training time  $t$  (steps)"


def spread(items: Sequence[T], most: int) -> list[T]:
    """At most `most` of the items, evenly spaced, the first and last among them."""
    return [items[i] for i in np.unique(np.linspace(0, len(items) - 1, min(most, len(items))).round().astype(int))]


def load_study(path: Path) -> Study:
    """Read a sweep folder or a single run folder.

    Raises:
        ValueError: `path` is not a folder, or knows of no run.
    """
    table = load_table(path)
    evaluated = _evaluated(table)
    frame, keys = with_conditions(table.loc[~evaluated])
    groups: dict[str, dict[Pair, list[Run]]] = {}
    for run in _finished(frame):
        groups.setdefault(run.row["condition"], {}).setdefault(run.pair, []).append(run)
    ordered = {
        name: dict(sorted(by_pair.items(), key=lambda item: _b_then_a(item[0]))) for name, by_pair in groups.items()
    }
    if not evaluated.any():
        return Study(Path(path), frame, keys, ordered)
    models = table.loc[evaluated].assign(condition=lambda rows: rows["evaluation.name"])
    return Study(Path(path), pd.concat([frame, models]) if len(frame) else models, keys, ordered, _finished(models))


def _finished(frame: pd.DataFrame) -> list[Run]:
    done = records(frame.loc[frame["state"] == "done"])
    return [Run(row, analysis.load_curve(Path(row["path"]))) for row in done]


def _tokens(by_pair: dict[Pair, list[Run]]) -> bool:
    """Whether the runs of a condition, which are of one model, read tokens."""
    return next(iter(by_pair.values()))[0].reads_tokens


def _evaluated(frame: pd.DataFrame) -> pd.Series:
    """Which rows are evaluated models."""
    return frame["kind"] == KIND if "kind" in frame else pd.Series(False, index=frame.index)


def _b_then_a(pair: Pair) -> Pair:
    return pair[1], pair[0]


def _scheduled(row: dict[str, Any]) -> bool:
    return row["optimizer.schedule"] != "constant" or float(row["optimizer.warmup_fraction"]) > 0
