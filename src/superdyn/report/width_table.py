"""Table of width exponents: a row for every line of the width figure, those that are not drawn included."""

from collections.abc import Sequence

from superdyn.analysis.claims.token_width import RANK
from superdyn.report.data_law import law_columns
from superdyn.report.tables import Table, interval, law_cells, number, text
from superdyn.report.width_lines import WidthLine


def width_table(lines: Sequence[WidthLine]) -> Table:
    """β of each line, what it was fitted to and what its brackets are."""
    of_data = law_columns(line.law for line in lines)
    columns = ["condition", *of_data, "dimension", "from", "to", "fitted", "seeds", "β", "brackets", "remark"]
    return Table(columns, [[
        text(line.condition, "phrase"), *law_cells(line.law, of_data),
        text("rank r" if line.dimension == RANK else "width K"), number(line.at[0]), number(line.at[-1]),
        text(f"{line.fitted.sum()} of {line.at.size}"), number(len(line.loss), ".0f"),
        interval(line.beta, *line.interval), text("95 % of seeds" if line.over_seeds else "local exponents", "phrase"),
        text("; ".join(remarks(line)), "note"),
    ] for line in lines])  # fmt: skip


def remarks(line: WidthLine) -> list[str]:
    """What stands against reading β as an exponent."""
    found = [] if line.straight else ["no power law: local exponents differ by more than 0.5"]
    if line.trained_out is False:
        found.append("fewer than three dimensions have converged")
    return found
