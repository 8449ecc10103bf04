"""What a pack promises: the bits of a member alone, frozen members that stay, state that is a slice."""

from typing import Any

import pytest
import torch
from quadratic import Tensors, bowl, configs, descend, gradients, members, same_bits
from torch._subclasses.fake_tensor import FakeTensorMode

from superdyn.config import OptimizerConfig
from superdyn.training.optimizers import make_optimizer
from superdyn.training.optimizers.norms import member_norm, row_norms

RATES = [0.02, 0.005, 0.01, 0.03, 0.015, 0.001, 0.02]
DECAYS = [0.0, 0.3, -1.0, 0.0, -0.2, 0.01, 0.0]
SHAPES = pytest.mark.parametrize(
    ("k", "n", "dtype"),
    [(7, 13, torch.float32), (32, 64, torch.float32), (1, 3, torch.float32), (33, 20, torch.float64)],
)
RULES: dict[str, dict[str, Any]] = {
    "sgd": {"name": "sgd"},
    "momentum": {"name": "sgd", "momentum": 0.9},
    "nesterov": {"name": "sgd", "momentum": 0.9, "nesterov": True, "weight_decay_on": "encoder"},
    "normalized": {"name": "normalized"},
    "normalized_momentum": {"name": "normalized", "momentum": 0.9},
    "adam": {"name": "adam"},
    "adamw": {"name": "adamw"},
    "muon": {"name": "muon", "momentum": 0.95, "nesterov": True},
}
EVERY_RULE = pytest.mark.parametrize("rule", RULES)


def settings(rule: str, decays: list[float] = DECAYS) -> list[OptimizerConfig]:
    options = dict(RULES[rule])
    return configs(options.pop("name"), RATES, decays, **options)


def alone(problem: tuple[Tensors, Tensors, Tensors], r: int) -> tuple[Tensors, Tensors, Tensors]:
    start, target, curvature = (members(tensors, slice(r, r + 1)) for tensors in problem)
    return start, target, curvature


@EVERY_RULE
@SHAPES
def test_a_member_has_the_same_bits_alone_and_in_a_pack(rule: str, k: int, n: int, dtype: torch.dtype):
    problem = bowl(7, k, n, dtype)
    packed, optimizer = descend(problem, settings(rule), 4)
    for r in range(7):
        single, own = descend(alone(problem, r), settings(rule)[r : r + 1], 4)
        assert all(same_bits(packed[name][r], single[name][0]) for name in single)
        assert all(same_bits(optimizer.state[name][r], tensor[0]) for name, tensor in own.state.items())


@EVERY_RULE
@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_neighbours_that_decay_do_not_touch_the_sign_of_a_zero(rule: str, zero: float):
    start = {"encoder": torch.full((7, 3, 5), zero)}
    still = {"encoder": torch.full((7, 3, 5), -0.0)}
    single, rates = members(start, slice(0, 1)), torch.tensor(RATES)
    make_optimizer(start, settings(rule)).update(still, rates)
    make_optimizer(single, settings(rule)[:1]).update(members(still, slice(0, 1)), rates[:1])
    assert same_bits(start["encoder"][:1], single["encoder"])


@EVERY_RULE
def test_a_frozen_member_keeps_its_parameters_and_its_neighbours_notice_nothing(rule: str):
    problem = bowl(7, 7, 13, torch.float32)
    healthy, _ = descend(problem, settings(rule), 4)
    parameters = members(problem[0], slice(None))
    optimizer = make_optimizer(parameters, settings(rule))
    rates = torch.tensor(RATES, dtype=torch.float64)
    for tensor in (*parameters.values(), *optimizer.state.values()):
        tensor[1].view(-1)[0], tensor[2].view(-1)[0] = torch.inf, torch.nan
    frozen = members(parameters, slice(1, 3))
    alive = torch.tensor([True, False, False, True, True, True, True])
    for _ in range(4):
        slopes = gradients(parameters, problem[1], problem[2])
        masked = {name: torch.where(alive.view(-1, *(1,) * (g.ndim - 1)), g, 0.0) for name, g in slopes.items()}
        optimizer.update(masked, rates * alive)
    for name, parameter in parameters.items():
        assert same_bits(parameter[1:3], frozen[name])
        assert same_bits(parameter[alive], healthy[name][alive])


@EVERY_RULE
def test_a_member_goes_on_alone_from_its_slice_of_the_state(rule: str):
    problem = bowl(7, 7, 13, torch.float32)
    halfway, optimizer = descend(problem, settings(rule), 5)
    whole, _ = descend(problem, settings(rule), 10)
    (start, target, curvature), own = alone((halfway, problem[1], problem[2]), 4), settings(rule)[4:5]
    resumed = make_optimizer(start, own)
    for name, tensor in resumed.state.items():
        tensor.copy_(optimizer.state[name][4:5])
    for _ in range(5):
        resumed.update(gradients(start, target, curvature), torch.tensor([own[0].lr], dtype=torch.float64))
    assert all(same_bits(start[name][0], whole[name][4]) for name in start)


@EVERY_RULE
def test_an_update_never_asks_the_device(rule: str):
    with FakeTensorMode():  # reading a value of a fake tensor raises
        parameters = {
            "encoder": torch.zeros(7, 32, 64),
            "core": torch.zeros(7, 32, 32),
            "bias": torch.zeros(7, 64),
        }
        optimizer = make_optimizer(parameters, settings(rule))
        optimizer.update(members(parameters, slice(None)), torch.ones(7))


@EVERY_RULE
def test_the_optimizer_moves_its_state_but_owns_no_parameter(rule: str):
    parameters = {"encoder": torch.nn.Parameter(torch.randn(7, 4, 5))}
    optimizer = make_optimizer(parameters, settings(rule))
    optimizer.to("meta")
    assert not list(optimizer.parameters())
    assert all(tensor.is_meta for tensor in optimizer.state.values())


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("k", "n"), [(3, 5), (64, 1000), (257, 333)])
def test_norms_do_not_depend_on_the_size_of_the_pack(k: int, n: int, threads: int):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    stacked = torch.randn(7, k, n)
    for r in range(7):
        single = stacked[r : r + 1].clone()
        assert torch.equal(row_norms(stacked)[r], row_norms(single)[0])
        assert torch.equal(member_norm(stacked.flatten(1))[r], member_norm(single.flatten(1))[0])
    torch.set_num_threads(before)


@pytest.mark.gpu
@EVERY_RULE
def test_a_captured_update_replays_as_the_eager_one(rule: str):
    parameters, target, curvature = ({n: t.cuda() for n, t in part.items()} for part in bowl(7, 32, 64, torch.float32))
    eager, captured = members(parameters, slice(None)), members(parameters, slice(None))
    slopes = gradients(parameters, target, curvature)
    rates = torch.tensor(RATES, device="cuda")
    reference, optimizer = make_optimizer(eager, settings(rule)), make_optimizer(captured, settings(rule))
    for _ in range(3):
        reference.update(slopes, rates)
        optimizer.update(slopes, rates)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        optimizer.update(slopes, rates)
    graph.replay()
    reference.update(slopes, rates)
    assert all(same_bits(eager[name], captured[name]) for name in eager)
