"""Plain PyTorch, one run after the other, in the manner of the toy-model notebooks of this field.

As is: a loop with a fresh batch, `zero_grad`, `backward`, `step` and `loss.item()` every step. Tuned: nothing is read
back, and drawing, loss, gradients and update are one compiled function (on a GPU replayed from a CUDA graph), which on
the CPU is three times as fast as a compiled loss beside torch's fused optimizer. Axis legend: `t` step, `s` sample, `n`
feature.
"""

from collections.abc import Callable, Sequence
from typing import no_type_check

import torch
from torch import Tensor, nn

from superdyn.bench.workload import Start, Workload, initial_parameters
from superdyn.training.graph import CapturedStep

_MOST_STEPS = 2**20
"""Of a training whose losses a graph writes down."""


class ToyModel(nn.Module):
    """y = relu(Wᵀ B W x) for one run."""

    def __init__(self, start: Start):
        super().__init__()
        self.W = nn.Parameter(torch.from_numpy(start.embedding.copy()))
        self.B = nn.Parameter(torch.from_numpy(start.core.copy()))

    def forward(self, x: Tensor) -> Tensor:
        return output(self.W, self.B, x)


def output(w: Tensor, b: Tensor, x: Tensor) -> Tensor:
    """relu(Wᵀ B W x)."""
    return torch.relu(x @ w.T @ b.T @ w)


def squared_error(y: Tensor, x: Tensor, importance: Tensor) -> Tensor:
    """½ mean_s ‖y − A x‖²."""
    return 0.5 * (y - importance * x).square().sum(dim=-1).mean()


def sample(probabilities: Tensor, batch_size: int) -> Tensor:
    """A batch as notebooks draw it: one draw for what is active, one for the values."""
    shape = (batch_size, len(probabilities))
    device = probabilities.device
    active = torch.rand(shape, device=device) < probabilities
    return active * 2 * torch.rand(shape, device=device)


def sample_once(probabilities: Tensor, batch_size: int) -> Tensor:
    """The same distribution from one draw: given u < p, u/p is uniform on (0, 1)."""
    u = torch.rand((batch_size, len(probabilities)), device=probabilities.device)
    return torch.where(u < probabilities, 2 * u / probabilities, 0.0)


class PlainLoop:
    """The notebook's loop."""

    def __init__(self, workload: Workload, device: str):
        self.workload, self.device = workload, device
        self.probabilities = torch.from_numpy(workload.probabilities).to(device)
        self.importance = torch.from_numpy(workload.importance).to(device)

    def train(self, run: int, steps: int, batches: Tensor | None = None) -> Sequence[float]:
        """The loss of every step of one run; draws its own batches unless they are given."""
        model = ToyModel(initial_parameters(self.workload, run)).to(self.device)
        rule = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[self.workload.optimizer]
        optimizer = rule(model.parameters(), lr=self.workload.learning_rate(run))
        losses = []
        for step in range(steps):
            x = sample(self.probabilities, self.workload.batch_size) if batches is None else batches[step]
            optimizer.zero_grad()
            loss = squared_error(model(x), x, self.importance)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses


class TunedLoop(PlainLoop):
    """The same loop as one compiled function per step; compiles once for all runs."""

    def __init__(self, workload: Workload, device: str):
        super().__init__(workload, device)
        self._drawn: Callable[..., tuple[Tensor, ...]] = torch.compile(self._draw_and_step)
        self._given: Callable[..., tuple[Tensor, ...]] = torch.compile(self._step)
        self._captured: CapturedStep | None = None

    def train(self, run: int, steps: int, batches: Tensor | None = None) -> Sequence[float]:
        start = initial_parameters(self.workload, run)
        parameters = tuple(torch.from_numpy(array.copy()).to(self.device) for array in start)
        zeros = tuple(torch.zeros_like(parameter) for parameter in parameters)
        state = (*parameters, *zeros, *zeros) if self.workload.optimizer == "adam" else parameters
        rate = torch.tensor(self.workload.learning_rate(run), device=self.device)
        if self.device == "cuda" and batches is None:
            return self._replayed(steps, rate, state)
        losses = []
        for step in range(steps):
            count = torch.tensor(step + 1.0, device=self.device)
            if batches is None:
                loss, *state = self._drawn(rate, count, *state)
            else:
                loss, *state = self._given(batches[step], rate, count, *state)
            losses.append(loss.clone())
        return torch.stack(losses).tolist()

    def _replayed(self, steps: int, rate: Tensor, start: tuple[Tensor, ...]) -> Sequence[float]:
        """The steps as replays of one graph, which holds the state, the losses and their count at fixed addresses."""
        if self._captured is None:
            self._rate, self._state = rate.clone(), tuple(tensor.clone() for tensor in start)
            self._losses, self._count = start[0].new_zeros(_MOST_STEPS), torch.zeros_like(rate)
            advance = torch.compile(self._advance)
            self._captured = CapturedStep(advance, [*self._state, self._losses, self._count])
        for own, value in zip((self._rate, *self._state), (rate, *start), strict=True):
            own.copy_(value)
        self._count.zero_()
        self._captured.replay(steps)
        return self._losses[:steps].tolist()

    @no_type_check
    def _advance(self) -> None:
        place = self._count.long().view(1)
        self._count += 1
        loss, *moved = self._draw_and_step(self._rate, self._count, *self._state)
        self._losses.index_copy_(0, place, loss.view(1))
        for own, value in zip(self._state, moved, strict=True):
            own.copy_(value)

    @no_type_check  # torch's compiler cannot trace the tests' checks of types
    def _draw_and_step(self, rate: Tensor, count: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        return self._step(sample_once(self.probabilities, self.workload.batch_size), rate, count, *state)

    @no_type_check
    def _step(self, x: Tensor, rate: Tensor, count: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        def loss_of(w: Tensor, b: Tensor) -> Tensor:
            return squared_error(output(w, b, x), x, self.importance)

        gradients, loss = torch.func.grad_and_value(loss_of, argnums=(0, 1))(state[0], state[1])
        if len(state) == 2:
            return loss, *(p - rate * g for p, g in zip(state, gradients, strict=True))
        first = [0.9 * m + 0.1 * g for m, g in zip(state[2:4], gradients, strict=True)]
        second = [0.999 * v + 0.001 * g * g for v, g in zip(state[4:], gradients, strict=True)]
        bias1, bias2 = 1 - 0.9**count, 1 - 0.999**count
        moved = [
            p - rate * (m / bias1) / ((v / bias2).sqrt() + 1e-8)
            for p, m, v in zip(state[:2], first, second, strict=True)
        ]
        return loss, *moved, *first, *second
