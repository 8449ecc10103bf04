"""Each stacked rule against torch.optim or the plain version in `reference.py`, over 100 steps."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from quadratic import bowl, configs, descend, gradients, members
from reference import grow_rows, muon_step, normalized_step
from torch import Tensor

from superdyn.training.optimizers import make_optimizer

RATES = [0.02, 0.005, 0.01]
DECAYS = [0.0, 0.3, 0.01]
STEPS = 100
TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}
"""Of the largest entry, after 100 steps: about ten roundings of float32, and thousands of float64."""
BFLOAT16 = torch.finfo(torch.bfloat16).eps
"""One rounding of the precision in which torch.optim.Muon orthogonalises, of the way gone."""

RULES: dict[str, tuple[str, dict[str, Any], Callable[..., torch.optim.Optimizer]]] = {
    "sgd": ("sgd", {}, torch.optim.SGD),
    "momentum": ("sgd", {"momentum": 0.9}, torch.optim.SGD),
    "nesterov": ("sgd", {"momentum": 0.9, "nesterov": True}, torch.optim.SGD),
    "adam": ("adam", {"betas": (0.9, 0.99), "eps": 1e-7}, torch.optim.Adam),
    "adamw": ("adamw", {"betas": (0.8, 0.999)}, torch.optim.AdamW),
}
PRECISIONS = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


def largest_difference(stacked: dict[str, Tensor], r: int, single: dict[str, Tensor]) -> float:
    """Largest error of member `r`, relative to the largest entry of the same tensor."""
    return max(float((stacked[n][r] - single[n]).abs().max() / single[n].abs().max()) for n in single)


@PRECISIONS
@pytest.mark.parametrize("rule", RULES)
def test_members_follow_torch_optimizers_of_their_own(rule: str, dtype: torch.dtype):
    name, options, torch_rule = RULES[rule]
    problem = bowl(3, 7, 13, dtype)
    stacked, _ = descend(problem, configs(name, RATES, DECAYS, **options), STEPS)
    for r in range(3):
        single, target, curvature = ({n: t[r].clone() for n, t in tensors.items()} for tensors in problem)
        optimizer = torch_rule(single.values(), lr=RATES[r], weight_decay=DECAYS[r], **options)
        for _ in range(STEPS):
            for n, gradient in gradients(single, target, curvature).items():
                single[n].grad = gradient
            optimizer.step()
        assert largest_difference(stacked, r, single) < TOLERANCE[dtype]


@PRECISIONS
@pytest.mark.parametrize("options", [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}])
def test_normalized_descent_follows_the_plain_version(options: dict[str, Any], dtype: torch.dtype):
    problem = bowl(2, 7, 13, dtype)
    stacked, _ = descend(problem, configs("normalized", RATES[:2], DECAYS[:2], **options), STEPS)
    for r in range(2):
        single, target, curvature = ({n: t[r].clone() for n, t in tensors.items()} for tensors in problem)
        momenta = [torch.zeros_like(p) for p in single.values()]
        for _ in range(STEPS):
            slopes = list(gradients(single, target, curvature).values())
            normalized_step(list(single.values()), slopes, momenta, RATES[r], DECAYS[r], **options)
        assert largest_difference(stacked, r, single) < TOLERANCE[dtype]


@pytest.mark.parametrize(("k", "n", "nesterov"), [(7, 13, True), (16, 8, False)])
@PRECISIONS
def test_muon_follows_the_plain_version(k: int, n: int, nesterov: bool, dtype: torch.dtype):
    problem = bowl(2, k, n, dtype)
    settings = configs("muon", RATES[:2], DECAYS[:2], momentum=0.9, nesterov=nesterov)
    stacked, _ = descend(problem, settings, STEPS)
    for r in range(2):
        single, target, curvature = ({n: t[r].clone() for n, t in tensors.items()} for tensors in problem)
        momenta = {name: torch.zeros_like(p) for name, p in single.items()}
        for _ in range(STEPS):
            slope = gradients(single, target, curvature)
            for name in ("encoder", "core"):
                muon_step(single[name], slope[name], momenta[name], RATES[r], 0.9, DECAYS[r], nesterov=nesterov)
        difference = largest_difference(stacked, r, {name: single[name] for name in ("encoder", "core")})
        assert difference < TOLERANCE[dtype]


def test_muon_moves_as_torch_moves_in_bfloat16():
    problem = bowl(1, 16, 32, torch.float32)
    start, target, curvature = problem
    stacked, _ = descend(problem, configs("muon", [0.01], [0.1], momentum=0.95, nesterov=True), STEPS)
    single = start["encoder"][0].clone()
    optimizer = torch.optim.Muon([single], lr=0.01, weight_decay=0.1, momentum=0.95, nesterov=True)
    for _ in range(STEPS):
        single.grad = (single - target["encoder"][0]) * curvature["encoder"][0]
        optimizer.step()
    moved = single - start["encoder"][0]
    assert (stacked["encoder"][0] - single).norm() < BFLOAT16 * moved.norm()


def test_muon_gives_vectors_to_adamw():
    problem = bowl(2, 7, 13, torch.float64)
    muon, _ = descend(problem, configs("muon", [0.01, 0.02], [0.1, 0.0], momentum=0.9), 20)
    adamw, _ = descend(problem, configs("adamw", [0.01, 0.02], [0.1, 0.0]), 20)
    assert torch.equal(muon["bias"], adamw["bias"])


@pytest.mark.parametrize("name", ["sgd", "normalized", "adam", "adamw", "muon"])
def test_negative_decay_grows_the_rows_of_the_embedding_only(name: str):
    problem = bowl(2, 7, 13, torch.float64)
    problem[0]["encoder"][:, :, 5] = 0
    still = {n: torch.zeros_like(p) for n, p in problem[0].items()}
    settings = configs(name, [0.1, 0.1], [-1.0, 0.0])
    parameters = members(problem[0], slice(None))
    make_optimizer(parameters, settings).update(still, torch.full((2,), 0.1, dtype=torch.float64))
    torch.testing.assert_close(parameters["encoder"][0], grow_rows(problem[0]["encoder"][0], 0.1), rtol=1e-14, atol=0)
    assert torch.equal(parameters["encoder"][1], problem[0]["encoder"][1])
    assert all(torch.equal(parameters[n], problem[0][n]) for n in ("core", "bias"))


@pytest.mark.parametrize("name", ["sgd", "normalized", "adam", "adamw", "muon"])
def test_decay_on_the_encoder_leaves_the_rest_alone(name: str):
    problem = bowl(2, 7, 13, torch.float64)
    everywhere, _ = descend(problem, configs(name, RATES[:2], [0.5, 0.5]), 1)
    encoder_only, _ = descend(problem, configs(name, RATES[:2], [0.5, 0.5], weight_decay_on="encoder"), 1)
    without, _ = descend(problem, configs(name, RATES[:2], [0.0, 0.0]), 1)
    assert not torch.equal(encoder_only["encoder"], without["encoder"])
    if name != "adam":  # its first step is a sign
        assert not torch.equal(everywhere["core"], without["core"])
    assert all(torch.equal(encoder_only[n], without[n]) for n in ("core", "bias"))


@pytest.mark.parametrize(("decay", "on"), [(-1.0, "all"), (1.0, "encoder")])
def test_decay_of_an_embedding_that_is_not_trained_is_refused(decay: float, on: str):
    with pytest.raises(ValueError, match="weight_decay"):
        make_optimizer({"core": torch.zeros(1, 2, 2)}, configs("sgd", [0.1], [decay], weight_decay_on=on))


def test_muon_without_a_matrix_is_refused():
    with pytest.raises(ValueError, match="needs a matrix"):
        make_optimizer({"bias": torch.zeros(1, 2)}, configs("muon", [0.1], [0.0]))
