"""Judge of the embedding's weight decay: whether it moves the share of represented tokens, and what the loss pays.

A token is represented where its row has norm above 1/2, the φ of Liu, Liu, Gore 2025.
"""

import pandas as pd

from superdyn.analysis.claims.row import ClaimRow, finding, inconclusive, reported
from superdyn.analysis.folder import load_curve
from superdyn.config import ClaimConfig

DECAY = "optimizer.weight_decay"
MEASURES = ("represented_fraction", "participation_ratio", "loss")


def embedding_decay(name: str, claim: ClaimConfig, frame: pd.DataFrame) -> list[ClaimRow]:
    """Share at the least decay (growth) minus that at the largest carries the verdict; last values are reported."""
    ends = pd.DataFrame([{DECAY: row[DECAY], **load_curve(row["path"]).iloc[-1]} for _, row in frame.iterrows()])
    means = ends.groupby(DECAY)[list(MEASURES)].mean()
    rows = [
        reported(name, measure, f"decay {decay:g}", float(mean[measure]), note="mean over seeds")
        for decay, mean in means.iterrows()
        for measure in MEASURES
    ]
    quantity, share = "change of the represented share", means["represented_fraction"]
    if len(share) < 2:
        where, note = f"decay {share.index[0]:g}", "one weight decay only"
        return [*rows, inconclusive(name, quantity, where, float("nan"), note, expected=claim.expected)]
    drop = float(share.iloc[0] - share.iloc[-1])
    where = f"decay {share.index[0]:g} minus decay {share.index[-1]:g}"
    held = drop >= claim.expected - claim.tolerance
    note = f"held from {claim.expected - claim.tolerance:g} on"
    return [
        *rows,
        finding(name, quantity, where, drop, held, expected=claim.expected, note=note),
    ]
