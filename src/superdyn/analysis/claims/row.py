"""One line of the claim table: what was expected, what the run files say, and the verdict.

A check (comparison with exact theory) passes or fails. A finding (a statement of the paper put to the test) is held or
not held, which is a result either way, or inconclusive where the runs cannot tell: not trained out, or nothing to fit.
`reported` rows carry numbers that a verdict rests on.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

Verdict = Literal["pass", "fail", "held", "not held", "inconclusive", "reported", "missing"]


@dataclass(frozen=True)
class ClaimRow:
    """`low` and `high` are a 95 % interval, or the range over a grid where `note` says so."""

    claim: str
    quantity: str
    condition: str
    measured: float
    verdict: Verdict
    kind: str
    expected: float = math.nan
    low: float = math.nan
    high: float = math.nan
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; a number that does not exist is None."""
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in asdict(self).items()}


def check(name: str, quantity: str, condition: str, measured: float, expected: float, tolerance: float, **more: Any):
    """A row that passes when |measured − expected| ≤ tolerance; a number that could not be measured fails."""
    verdict: Verdict = "pass" if abs(measured - expected) <= tolerance else "fail"
    return ClaimRow(name, quantity, condition, measured, verdict, "check", expected, **more)


def finding(name: str, quantity: str, condition: str, measured: float, held: bool, **more: Any) -> ClaimRow:
    """A row that says whether a statement of the paper held."""
    return ClaimRow(name, quantity, condition, measured, "held" if held else "not held", "finding", **more)


def inconclusive(name: str, quantity: str, condition: str, measured: float, note: str, **more: Any) -> ClaimRow:
    """A row without a verdict, because the runs do not allow one; `note` says why."""
    return ClaimRow(name, quantity, condition, measured, "inconclusive", "finding", note=note, **more)


def reported(name: str, quantity: str, condition: str, measured: float, **more: Any) -> ClaimRow:
    """A number beside a verdict."""
    return ClaimRow(name, quantity, condition, measured, "reported", "finding", **more)
