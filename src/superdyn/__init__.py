"""superdyn: measure how neural networks in superposition learn."""

import os

# `trainer.deterministic` needs it on a GPU, and torch looks for it only once, at the first product there.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

__version__ = "0.1.0"
