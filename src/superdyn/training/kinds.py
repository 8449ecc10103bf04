"""What a pack minimises and how it is measured, by `data.kind`: features and sequences of them, or tokens."""

from collections.abc import Sequence

from torch import nn

from superdyn.config import RunConfig
from superdyn.models.protocol import is_linear
from superdyn.training.evaluation import Evaluation
from superdyn.training.objective import Objective
from superdyn.training.token_evaluation import TokenEvaluation
from superdyn.training.token_objective import TokenObjective


def make_objective(configs: Sequence[RunConfig]) -> Objective | TokenObjective:
    """The loss of a pack and its gradients."""
    return TokenObjective(configs) if configs[0].data.kind == "tokens" else Objective(configs)


def make_evaluation(
    configs: Sequence[RunConfig], student: nn.Module, objective: Objective | TokenObjective
) -> Evaluation | TokenEvaluation:
    """What a measurement step records.

    Raises:
        ConfigError: the exact risk is asked for and the student has none.
    """
    if isinstance(objective, TokenObjective):
        return TokenEvaluation(configs, objective)
    return Evaluation(configs, linear=is_linear(student, configs[0]))
