"""What the data of a run are, as tables and figures name them: a law (a, b) of features, or where tokens come from.

a is named only where it was a setting of the data: of a synthetic language that of its frequencies or rules, of token
files none. b, the importance of features, has no part in tokens.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

NAMES = {
    "zipf": "Zipf tokens",
    "bigram": "bigram tokens",
    "hierarchy": "hierarchy tokens",
    "files": "token files",
}
"""By `data.tokens.source`; features have the name of their `data.kind`."""


@dataclass(frozen=True)
class DataLaw:
    """The name of the data, and a and b where they were settings of them, else NaN."""

    name: str
    a: float
    b: float

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "DataLaw":
        """That of a run, from its row of the sweep's table; nameless where the row has no configuration."""
        a, b = float(row["data.data_exponent"]), float(row["data.importance_exponent"])
        kind = row.get("data.kind", "features")
        if kind != "tokens":
            return cls(kind if isinstance(kind, str) else "", a, b)
        source = row["data.tokens.source"]
        return cls(NAMES[source], math.nan if source == "files" else a, math.nan)

    @property
    def of_tokens(self) -> bool:
        """Whether it is that of tokens."""
        return self.name in NAMES.values()

    @property
    def exponents(self) -> str:
        """`a = 1.5, b = 0`, as far as they were settings."""
        return ", ".join(f"{name} = {value:g}" for name, value in (("a", self.a), ("b", self.b)) if value == value)


def legend_text(laws: Iterable[DataLaw], *, named: bool) -> str:
    """The label of what is drawn alike: exponents, of tokens after their source where `named`, or the source alone."""
    texts = [
        ", ".join(filter(None, [law.name if (named and law.of_tokens) or not law.exponents else "", law.exponents]))
        for law in sorted(laws, key=lambda law: not law.exponents)
    ]
    return " or ".join(dict.fromkeys(texts))


def law_columns(laws: Iterable[DataLaw]) -> list[str]:
    """Those of `data`, `a` and `b` that some of these runs have something to say in."""
    laws = list(laws)
    told = {
        "data": any(law.of_tokens for law in laws),
        "a": any(law.a == law.a for law in laws),
        "b": any(law.b == law.b for law in laws),
    }
    return [column for column, is_told in told.items() if is_told]
