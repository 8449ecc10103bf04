"""That the language rivals train the same model: with the same initial weights and batches they reach the same losses.

On the CPU in float32; on a GPU also as they are timed, compiled and with products rounded to bfloat16, where losses
agree to that rounding only. Axis legend: `t` step.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from superdyn.bench.language_workload import EQUALITY_STEPS, LanguageWorkload
from superdyn.bench.rivals.language_pack import LanguagePack
from superdyn.bench.rivals.plain_language import PlainLanguageLoop
from superdyn.features.token_stream import evaluation_tokens, token_stream
from superdyn.features.tokens.batch import TokenBatch


def loss_differences(workload: LanguageWorkload, steps: int = EQUALITY_STEPS) -> dict[str, float]:
    """Largest relative difference from the plain loop's: of the engine's training losses on the CPU in float32, and of
    the held-out losses of a whole run at the steps at which it is measured."""
    exact = replace(workload, precision="32-true", runs=1)
    pack, plain = LanguagePack(exact, "cpu"), _plain_twin(exact, "cpu")
    config = exact.config(0, steps, "cpu")
    held_out, expected, trained = evaluation_tokens(config), [], []
    for batch in _batches(exact, steps):
        expected.append(plain.loss(held_out))
        trained += plain.losses([batch])
    expected.append(plain.loss(held_out))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        (run,) = pack.trained(steps, Path(folder))
        curve = run.curve()
    assert curve is not None
    return {
        "superdyn": _largest(pack.token_losses(_batches(exact, steps)), trained),
        "superdyn train": _largest(curve["loss"], np.array(expected)[curve["step"]]),
    }


def rounded_difference(workload: LanguageWorkload, steps: int = EQUALITY_STEPS) -> float:
    """The same of the engine's training losses on the GPU, as it is timed there."""
    batches = [TokenBatch(*(part.cuda() for part in batch)) for batch in _batches(workload, steps)]
    losses = LanguagePack(workload, "cuda").token_losses(batches)
    found = _largest(losses, _plain_twin(workload, "cuda").losses(batches))
    torch.cuda.empty_cache()
    return found


def _plain_twin(workload: LanguageWorkload, device: str) -> PlainLanguageLoop:
    """The plain loop with the initial weights of superdyn's first run."""
    loop = PlainLanguageLoop(workload, device)
    loop.model.take(dict(LanguagePack(workload, "cpu").module.student.named_parameters()), 0)
    return loop


def _batches(workload: LanguageWorkload, steps: int) -> list[TokenBatch]:
    stream = token_stream(workload.config(0, steps, "cpu"))
    return [stream.batch(step) for step in range(steps)]


def _largest(found: Sequence[float] | np.ndarray, expected: Sequence[float] | np.ndarray) -> float:
    return float(np.abs(np.asarray(found) / np.asarray(expected) - 1).max())
