"""Plain PyTorch, one run after the other, in the manner of the toy-model notebooks of this field.

As is: a loop with a fresh batch, `zero_grad`, `backward`, `step` and `loss.item()` every step. Tuned: nothing is read
back, the optimizer is fused, and sampling, loss and gradients are one compiled function (on a GPU with CUDA graphs).
Axis legend: `s` sample, `n` feature.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from superdyn.bench.workload import Start, Workload


class ToyModel(nn.Module):
    """y = relu(Wᵀ B W x) for one run."""

    def __init__(self, start: Start):
        super().__init__()
        self.W = nn.Parameter(torch.from_numpy(start.embedding.copy()))
        self.B = nn.Parameter(torch.from_numpy(start.core.copy()))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x @ self.W.T @ self.B.T @ self.W)


def squared_error(model: nn.Module, x: Tensor, importance: Tensor) -> Tensor:
    """½ mean_s ‖y − A x‖²."""
    return 0.5 * (model(x) - importance * x).square().sum(dim=-1).mean()


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


def make_optimizer(workload: Workload, run: int, model: nn.Module, **options: bool) -> torch.optim.Optimizer:
    """torch's own SGD or Adam."""
    rules = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
    return rules[workload.optimizer](model.parameters(), lr=workload.learning_rate(run), **options)


def as_is(workload: Workload, run: int, start: Start, device: str, batches: Tensor | None = None) -> list[float]:
    """Train one run and return the loss of every step; draws its own batches unless they are given."""
    model = ToyModel(start).to(device)
    optimizer = make_optimizer(workload, run, model)
    probabilities = torch.from_numpy(workload.probabilities).to(device)
    importance = torch.from_numpy(workload.importance).to(device)
    losses = []
    for step in range(workload.steps):
        x = sample(probabilities, workload.batch_size) if batches is None else batches[step]
        optimizer.zero_grad()
        loss = squared_error(model, x, importance)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


class Tuned:
    """Compiles once; `train` may then be called for any run of the workload."""

    def __init__(self, workload: Workload, device: str):
        self.workload, self.device = workload, device
        self.probabilities = torch.from_numpy(workload.probabilities).to(device)
        self.importance = torch.from_numpy(workload.importance).to(device)
        mode = "reduce-overhead" if device == "cuda" else "default"
        self._loss: Callable[[nn.Module, Tensor], Tensor] = torch.compile(self._plain_loss, mode=mode)
        self._draw: Callable[[], Tensor] = torch.compile(self._plain_draw, mode=mode)

    def _plain_loss(self, model: nn.Module, x: Tensor) -> Tensor:
        return squared_error(model, x, self.importance)

    def _plain_draw(self) -> Tensor:
        return sample_once(self.probabilities, self.workload.batch_size)

    def train(self, run: int, start: Start, batches: Tensor | None = None) -> list[float]:
        """Train one run; the losses come back once, at the end."""
        model = ToyModel(start).to(self.device)
        optimizer = make_optimizer(self.workload, run, model, fused=True)
        losses = []
        for step in range(self.workload.steps):
            x = self._draw() if batches is None else batches[step]
            loss = self._loss(model, x)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            losses.append(loss.detach().clone())
        return torch.stack(losses).tolist()
