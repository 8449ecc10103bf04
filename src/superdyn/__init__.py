"""superdyn: measure how neural networks in superposition learn."""

__version__ = "0.1.0"
