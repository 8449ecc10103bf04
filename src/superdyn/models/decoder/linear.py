"""Linear map of every member, y = x Wᵀ + b, with W (out × in) as in torch.nn.Linear.

That orientation is also what Muon's factor √max(1, rows/columns) is about. Axis legend: `r` run, `i` in, `o` out.
"""

from jaxtyping import Float
from torch import Tensor, nn

from superdyn.models.decoder.initial import Initial
from superdyn.models.product import product


class StackedLinear(nn.Module):
    """Parameters: `weight` (r, out, in) and, if asked for, `bias` (r, out).

    Args:
        factor: of the initial weights, for maps that write into the residual stream.
    """

    def __init__(self, initial: Initial, name: str, n_in: int, n_out: int, *, bias: bool, factor: float = 1.0):
        super().__init__()
        self.weight = initial.weights(f"{name}.weight", (n_out, n_in), factor)
        self.bias = initial.constant(0.0, (n_out,)) if bias else None

    def forward(self, x: Float[Tensor, "r s t i"]) -> Float[Tensor, "r s t o"]:
        y = product(x.flatten(1, 2), self.weight.mT)
        if self.bias is not None:
            y = y.add_(self.bias.to(y.dtype)[:, None, :])  # in place: the product is nobody else's
        return y.unflatten(1, x.shape[1:3])
