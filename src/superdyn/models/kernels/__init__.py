"""Kernels in Triton, each with the operation of torch that starts it in a module beside this folder.

torch for the CPU comes without Triton, so a kernel's module is imported when it first runs.
"""

import importlib.util

AVAILABLE = importlib.util.find_spec("triton") is not None
