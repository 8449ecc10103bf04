"""superdyn: measure how neural networks in superposition learn. `superdyn -h` shows the commands.

In a notebook, after `import superdyn`, none of these imports torch but for the last:
  superdyn.analysis      load_sweep, load_curve, load_spectrum, fit_power_law, pool_seeds, exact_loss, null_loss, …
  superdyn.theory        spectral_loss, frozen_embedding_loss, sequential_exponent, rich_exponent, …
  superdyn.report        write_report, headline_figure
  superdyn.runs.trained  load_student: the trained parameters at a step
docs/python.md has examples, docs/extend.md says how to add a student, a value law, an update rule, a measure, a claim.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from superdyn import analysis, report, theory

# `trainer.deterministic` needs it on a GPU, and torch looks for it only once, at the first product there.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

__version__ = "0.1.0"
__all__ = ["analysis", "report", "theory"]


def __getattr__(name: str) -> Any:
    """Import a room when it is first used, so that `import superdyn` stays instant."""
    if name in __all__:
        return importlib.import_module(f"superdyn.{name}")
    raise AttributeError(f"module 'superdyn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
