"""The exponent over the whole plane of windows, so that a reader sees how much the choice of window matters.

The form (with or without t0 and L_inf) is chosen once, on the window of the rule, and refitted in every window.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from superdyn.analysis.curve import read_curve
from superdyn.analysis.interval import LEAST_POINTS, alphas_in_windows
from superdyn.analysis.polish import polish
from superdyn.analysis.window import windowed


def window_plane(t: ArrayLike, loss: ArrayLike, *, least: float | None = None, n_edges: int = 12) -> pd.DataFrame:
    """Columns `t_min`, `t_max`, `alpha` for every pair of `n_edges` log-spaced edges; NaN below 8 points.

    `least` is the least possible loss, where it is known: α is then that of what the loss exceeds it by. Empty when the
    window rule leaves fewer than 8 points.
    """
    curve, _ = windowed(read_curve(t, loss, least=least))
    if curve.t.size < LEAST_POINTS:
        return pd.DataFrame({"t_min": [], "t_max": [], "alpha": []}, dtype=np.float64)
    best, _ = polish(curve.t, curve.loss, curve.weight)
    edges = np.geomspace(curve.t[0], curve.t[-1], n_edges)
    bounds = np.array([(low, high) for low, high in product(edges, edges) if low < high])
    alphas = alphas_in_windows(curve, best, bounds)
    return pd.DataFrame({"t_min": bounds[:, 0], "t_max": bounds[:, 1], "alpha": alphas})
