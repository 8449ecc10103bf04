"""Which of many combinations are drawn: a few values of every key in all combinations, so that no two keys go together.

Evenly chosen items of a grid would be its diagonal, along which all keys change at once.
"""

import math
from collections.abc import Hashable, Sequence

from superdyn.report.study import spread


def factorial(settings: Sequence[tuple[Hashable, ...]], most: int) -> list[int]:
    """Places of at most `most` of the settings: the product of evenly chosen values of every key.

    The keys with most values lose some first. Where the settings are no grid, so that fewer than half of the product
    are there, evenly chosen ones.
    """
    if len(settings) <= most or not settings[0]:
        return list(range(len(settings)))[:most]
    values = [list(dict.fromkeys(of_key)) for of_key in zip(*settings, strict=True)]
    counts = [len(of_key) for of_key in values]
    while math.prod(counts) > most:
        counts[counts.index(max(counts))] -= 1
    kept = [set(spread(of_key, count)) for of_key, count in zip(values, counts, strict=True)]
    chosen = [i for i, setting in enumerate(settings) if all(v in of for v, of in zip(setting, kept, strict=True))]
    return chosen if 2 * len(chosen) > math.prod(counts) else spread(range(len(settings)), most)
