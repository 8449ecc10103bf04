"""Runs a script's Triton kernels on the CPU, by Triton's interpreter."""

import importlib.util
import os
import subprocess
import sys

import pytest

NEEDS_TRITON = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs Triton")


def interpreted(script, *arguments):
    """What a script prints that runs kernels by Triton's interpreter."""
    # In a process of its own: Triton reads the variable once, and cannot look through the tests' checks of shapes.
    environment = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    return done.stdout.strip() or done.stderr
