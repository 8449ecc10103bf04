"""What an output is compared with: y*_t = A x_{t−k}, k = `data.lag`, at the positions t ≥ k of a sequence.

Earlier positions have no target and are left out. Axis legend: `r` run, `s` sequence, `t` position, `m` position of all
sequences, `v` valid position (t ≥ k) of all sequences, `n` feature.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from superdyn.config import DataConfig


@dataclass(frozen=True)
class Lag:
    """Sequences of `length` positions of which the outputs from `steps` on have a target."""

    length: int
    steps: int

    @classmethod
    def of(cls, data: DataConfig) -> "Lag":
        """As the configuration says."""
        return cls(data.length, data.lag)

    def pair(
        self, output: Float[Tensor, "r m n"], x: Float[Tensor, "r m n"]
    ) -> tuple[Float[Tensor, "r v n"], Float[Tensor, "r v n"]]:
        """y_t and the x_{t−k} that A y* is made of, for every valid position."""
        if self.steps == 0:
            return output, x
        output, x = (rows.unflatten(1, (-1, self.length)) for rows in (output, x))
        return lagged_pair(output, x, self.steps)


def lagged_pair(
    output: Float[Tensor, "r s t n"], x: Float[Tensor, "r s t n"], lag: int
) -> tuple[Float[Tensor, "r v n"], Float[Tensor, "r v n"]]:
    """y_t and x_{t−lag} for every t ≥ lag."""
    return output[:, :, lag:].flatten(1, 2), x[:, :, : x.shape[2] - lag].flatten(1, 2)
