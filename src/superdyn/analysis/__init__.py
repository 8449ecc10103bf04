"""The public names of `superdyn.analysis`: exponents with intervals, local slopes, half-times, tables of
runs.

Reads files and fits; imports no torch.
"""

from superdyn.analysis.compare import compare_models
from superdyn.analysis.curve import bin_decades
from superdyn.analysis.fit import fit_curve, fit_power_law
from superdyn.analysis.folder import load_config, load_curve, load_least_by_bin, load_spectrum, load_sweep
from superdyn.analysis.half_time import HalfTimeExponent, half_time_exponent, half_times
from superdyn.analysis.overlay import TheoryCurve, exact_loss, null_loss, reads_tokens
from superdyn.analysis.plane import window_plane
from superdyn.analysis.result import PowerLawFit
from superdyn.analysis.run_result import run_result
from superdyn.analysis.seeds import pool_seeds, seed_interval
from superdyn.analysis.slope import flat_stretch, local_slope, running_exponent
from superdyn.analysis.table import fit_table
from superdyn.runs.sweep_folder import run_folders

__all__ = [
    "HalfTimeExponent",
    "PowerLawFit",
    "TheoryCurve",
    "bin_decades",
    "compare_models",
    "exact_loss",
    "fit_curve",
    "fit_power_law",
    "fit_table",
    "flat_stretch",
    "half_time_exponent",
    "half_times",
    "load_config",
    "load_curve",
    "load_least_by_bin",
    "load_spectrum",
    "load_sweep",
    "local_slope",
    "null_loss",
    "pool_seeds",
    "reads_tokens",
    "run_folders",
    "run_result",
    "running_exponent",
    "seed_interval",
    "window_plane",
]
