"""AdamW in one kernel: the stacked rule to rounding, members of their own rates, frozen members, state that goes on."""

import pytest
import torch
from quadratic import bowl, configs, gradients, members

from superdyn.models.decoder.groups import Group
from superdyn.training.optimizers import make_optimizer

RATES, DECAYS = [0.02, 0.005, 0.01], [0.0, 0.3, 0.01]
TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}


def started(dtype, fused, chosen=slice(None), decays=DECAYS):
    """Parameters of the chosen members, their rule, and what gives their gradients."""
    start, target, curvature = (members(tensors, chosen) for tensors in bowl(3, 7, 13, dtype))
    settings = configs("adamw", RATES[chosen], decays[chosen], betas=(0.8, 0.99))
    groups: dict[Group, list[str]] = {"embedding": ["encoder"], "matrix": ["core"], "position": [], "vector": ["bias"]}
    rule = make_optimizer(start, settings, groups=groups, fused=fused)
    return start, rule, lambda: gradients(start, target, curvature)


def trained(rule, slopes, steps, chosen=slice(None), **options):
    rates = torch.tensor(RATES[chosen], dtype=rule.flat.dtype)
    for _ in range(steps):
        rule.update(slopes(), rates, **options)
    return rule


@pytest.mark.parametrize("decays", [DECAYS, [-1.0, 0.3, 0.0]], ids=["decay", "growth"])
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_it_is_the_stacked_rule_to_rounding(dtype, decays):
    one, other = (started(dtype, fused, decays=decays) for fused in (True, False))
    for _, rule, slopes in (one, other):
        trained(rule, slopes, 100)
    assert type(one[1]) is not type(other[1])
    for name, parameter in one[0].items():
        difference = (parameter - other[0][name]).abs().max()
        assert difference < TOLERANCE[dtype] * other[0][name].abs().max()


@pytest.mark.parametrize("decays", [DECAYS, [-1.0, 0.3, 0.0]], ids=["decay", "growth"])
@pytest.mark.parametrize("member", range(3))
def test_a_member_has_the_bits_of_a_pack_of_one_whichever_way_its_neighbours_decay(member, decays):
    chosen = slice(member, member + 1)
    packed, rule, slopes = started(torch.float32, True, decays=decays)
    trained(rule, slopes, 20)
    alone, rule, slopes = started(torch.float32, True, chosen, decays=decays)
    trained(rule, slopes, 20, chosen)
    assert all(torch.equal(packed[name][chosen], alone[name]) for name in alone)


@pytest.mark.parametrize("betas", [(0.9, 0.0), (0.0, 0.9), (0.9999, 0.5), (0.0, 0.0)])
def test_the_bias_of_both_moments_is_corrected_however_short_the_memory_of_one(betas):
    start, slopes, _ = bowl(3, 7, 13, torch.float64)
    ends = []
    for fused in (True, False):
        parameters = members(start, slice(None))
        rule = make_optimizer(parameters, configs("adamw", RATES, DECAYS, betas=betas), fused=fused)
        for _ in range(1200):  # 0.5¹²⁰⁰ underflows
            rule.update(slopes, torch.tensor(RATES, dtype=torch.float64))
        ends.append(rule.flat)
    torch.testing.assert_close(ends[0], ends[1], rtol=1e-9, atol=1e-9)


def test_a_frozen_member_keeps_every_bit_whatever_its_gradient():
    parameters, rule, slopes = started(torch.float32, True)
    trained(rule, slopes, 3)
    before = {name: tensor.clone() for name, tensor in (parameters | rule.state).items()}
    broken = slopes()
    broken["encoder"][1] = float("nan")
    rule.update(broken, torch.tensor([0.02, 0.0, 0.01]))
    for name, tensor in (parameters | rule.state).items():
        if tensor.ndim > 1:
            assert torch.equal(tensor[1], before[name][1])
            assert not torch.equal(tensor[0], before[name][0])
            assert bool(tensor.isfinite().all())


def test_a_loaded_state_goes_on_bit_for_bit():
    whole, rule, slopes = started(torch.float32, True)
    trained(rule, slopes, 5)
    half = {name: tensor.clone() for name, tensor in (whole | rule.state).items()}
    trained(rule, slopes, 5)
    resumed, rule, slopes = started(torch.float32, True)
    for name, tensor in (resumed | rule.state).items():
        tensor.copy_(half[name])
    trained(rule, slopes, 5)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
