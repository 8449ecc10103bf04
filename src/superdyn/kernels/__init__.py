"""Kernels in Triton, each with the operation of torch that starts it in the room that needs it.

torch for the CPU comes without Triton, so a kernel's module is imported when it first runs.
"""

import importlib.util

AVAILABLE = importlib.util.find_spec("triton") is not None
