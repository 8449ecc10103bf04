"""JAX: all runs under `vmap`, all steps under `scan`, one compiled call. The strongest rival.

Axis legend: `r` run, `t` step, `s` sample, `n` feature.
"""

import importlib
from functools import partial
from typing import Any

import numpy as np

from superdyn.bench.workload import Workload, initial_parameters


class JaxScan:
    """Compiles once for a workload; `train` runs all R runs together.

    Args:
        generator: JAX's bit generator: threefry2x32 (its default) or rbg (faster on some devices).

    Raises:
        RuntimeError: JAX is not built for the device, or already in use on another.
    """

    def __init__(self, workload: Workload, device: str, generator: str = "threefry2x32"):
        # JAX is an extra of its own: nothing else here needs it.
        jax: Any = importlib.import_module("jax")
        # Left alone it takes a GPU where there is one, also for what is compared on the CPU, and rounds products there.
        jax.config.update("jax_platforms", device)
        if device == "cuda":
            jax.config.update("jax_default_matmul_precision", "highest")
        if jax.default_backend() != {"cpu": "cpu", "cuda": "gpu"}[device]:
            raise RuntimeError(f"JAX computes on {jax.default_backend()}, not on {device}.")
        self.workload, self.generator = workload, generator
        self._jax, self._jnp = jax, jax.numpy
        self._scanned = jax.jit(self._scan)

    def train(self, steps: int, batches: np.ndarray | None = None) -> np.ndarray:
        """Losses (t, r) of all steps; `batches` (t, r, s, n) replaces the drawing of data."""
        jax, jnp = self._jax, self._jnp
        starts = [initial_parameters(self.workload, run) for run in range(self.workload.runs)]
        params = {
            "W": jnp.asarray(np.stack([start.embedding for start in starts])),
            "B": jnp.asarray(np.stack([start.core for start in starts])),
        }
        rates = jnp.asarray([self.workload.learning_rate(r) for r in range(len(starts))], dtype=jnp.float32)
        keys = jax.vmap(partial(jax.random.key, impl=self.generator))(jnp.arange(len(starts)))
        given = None if batches is None else jnp.asarray(batches)
        return np.asarray(self._scanned(params, rates, keys, jnp.arange(steps), given))

    def peak_memory(self) -> int:
        """Bytes of JAX's arrays on the GPU at most; 0 where its allocator does not count."""
        counted = self._jax.local_devices()[0].memory_stats()
        return counted["peak_bytes_in_use"] if counted else 0

    def _scan(self, params: dict[str, Any], rates: Any, keys: Any, steps: Any, batches: Any) -> Any:
        jax, jnp = self._jax, self._jnp
        step = jax.vmap(self._step)
        state = jax.tree.map(jnp.zeros_like, (params, params)) if self.workload.optimizer == "adam" else ()

        def body(carry, inputs):
            params, state = carry
            t, x = inputs
            if x is None:
                x = jax.vmap(lambda key: self._draw(jax.random.fold_in(key, t)))(keys)
            loss, params, state = step(params, state, rates, x, jnp.broadcast_to(t, rates.shape))
            return (params, state), loss

        return jax.lax.scan(body, (params, state), (steps, batches))[1]

    def _draw(self, key: Any) -> Any:
        p = self._jnp.asarray(self.workload.probabilities)
        u = self._jax.random.uniform(key, (self.workload.batch_size, self.workload.n_features))
        return self._jnp.where(u < p, 2 * u / p, 0.0)

    def _loss(self, params: dict[str, Any], x: Any) -> Any:
        jnp = self._jnp
        y = self._jax.nn.relu(x @ params["W"].T @ params["B"].T @ params["W"])
        return 0.5 * jnp.mean(jnp.sum((y - jnp.asarray(self.workload.importance) * x) ** 2, axis=-1))

    def _step(self, params: dict[str, Any], state: Any, rate: Any, x: Any, t: Any) -> Any:
        tree, jnp = self._jax.tree, self._jnp
        loss, gradient = self._jax.value_and_grad(self._loss)(params, x)
        if self.workload.optimizer == "sgd":
            return loss, tree.map(lambda p, g: p - rate * g, params, gradient), state
        first = tree.map(lambda m, g: 0.9 * m + 0.1 * g, state[0], gradient)
        second = tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, state[1], gradient)
        bias1, bias2 = 1 - 0.9 ** (t + 1.0), 1 - 0.999 ** (t + 1.0)
        params = tree.map(lambda p, m, v: p - rate * (m / bias1) / (jnp.sqrt(v / bias2) + 1e-8), params, first, second)
        return loss, params, (first, second)
