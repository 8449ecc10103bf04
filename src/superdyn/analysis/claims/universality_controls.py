"""Judge of the controls: which switch of the student, or which rule, brings the exponents of all (a, b) near one?

One setting is one choice of every switch. Its miss is the largest distance between the expected exponent and the
long-window exponent, pooled over seeds, at any (a, b); it is universal where the miss is within the tolerance. A
setting without an exponent at some (a, b) (a floor, too short a window) is not: it shows no power law there.
What a switch does is told over all pairs of settings that differ in nothing else.
"""

from collections.abc import Iterable, Iterator

import pandas as pd

from superdyn.analysis.claims.arms import A, B
from superdyn.analysis.claims.row import ClaimRow, finding, reported
from superdyn.analysis.seeds import pool_seeds
from superdyn.config import ClaimConfig

RATIO, RULE = "K/N", "optimizer.name"
SWITCHES = {
    RULE: "rule",
    RATIO: "K/N",
    "model.train_encoder": "trained embedding",
    "model.encoder_init": "embedding",
    "model.activation": "activation",
    "model.bias": "bias",
}


def universality_controls(name: str, claim: ClaimConfig, frame: pd.DataFrame) -> list[ClaimRow]:
    """Each setting's exponents, what each switch does to the miss, and where the claim holds."""
    settings = settings_of(frame, claim)
    return [
        *(_setting_row(name, claim, setting) for setting in settings.to_dict("records")),
        *_switch_rows(name, settings),
        *_verdicts(name, claim, settings),
    ]


def settings_of(frame: pd.DataFrame, claim: ClaimConfig) -> pd.DataFrame:
    """A row per setting: its switches; `mean`, `low` and `high` of α (long window) over (a, b); the `miss`, NaN without
    all exponents; at how many (`fitted`) of the `points` there is one.
    """
    pooled = pool_seeds(frame.assign(**{RATIO: frame["model.width"] / frame["data.n_features"]}), by=[*SWITCHES, A, B])
    alphas = pooled.groupby([*SWITCHES])["alpha_long"]
    table = alphas.agg(mean="mean", low="min", high="max", fitted="count", points="size").reset_index()
    miss = pd.concat([claim.expected - table["low"], table["high"] - claim.expected], axis=1).max(axis=1)
    return table.assign(miss=miss.where(table["fitted"] == table["points"]))


def _setting_row(name: str, claim: ClaimConfig, setting: dict) -> ClaimRow:
    note = f"mean and range over (a, b); exponents at {setting['fitted']} of {setting['points']}"
    return reported(name, "α (long window)", _where(setting, SWITCHES), setting["mean"], expected=claim.expected,
                    low=setting["low"], high=setting["high"], note=note)  # fmt: skip


def _switch_rows(name: str, settings: pd.DataFrame) -> Iterator[ClaimRow]:
    for switch, label in SWITCHES.items():
        others = [key for key in SWITCHES if key != switch]
        first, *rest = sorted(settings[switch].unique(), reverse=switch in (RATIO, RULE))
        for choice in rest:
            sides = [settings[settings[switch] == value] for value in (first, choice)]
            pairs = sides[0].merge(sides[1], on=others, suffixes=("_first", "_choice"))
            change = (pairs["miss_choice"] - pairs["miss_first"]).dropna()
            note = f"mean and range over {len(change)} pairs of settings that differ in nothing else"
            yield reported(name, "change of the largest |α − 1|", f"{label} {first} → {choice}", float(change.mean()),
                           low=float(change.min()), high=float(change.max()), note=note)  # fmt: skip


def _verdicts(name: str, claim: ClaimConfig, settings: pd.DataFrame) -> Iterator[ClaimRow]:
    """The claim with K < N, and the same test of the controls with K = N, each update rule by itself."""
    squeezed = (settings[RATIO] < 1).map({True: "K < N", False: "K = N (control)"})
    for (rule, arm), part in settings.groupby([RULE, squeezed], sort=True):
        within = int((part["miss"] <= claim.tolerance).sum())
        note = f"{within} of {len(part)} students within ±{claim.tolerance:g} of {claim.expected:g} at every (a, b)"
        for nearest in part.nsmallest(1, "miss").dropna(subset="miss").to_dict("records"):
            note += f"; nearest, {nearest['low']:.2f} to {nearest['high']:.2f}: {_where(nearest, list(SWITCHES)[1:])}"
        yield finding(name, "share of students with α near 1", f"{rule}, {arm}", within / len(part),
                      held=within == len(part), expected=1.0, note=note)  # fmt: skip


def _where(setting: dict, switches: Iterable[str]) -> str:
    return ", ".join(f"{SWITCHES[key]} {setting[key]}" for key in switches)
