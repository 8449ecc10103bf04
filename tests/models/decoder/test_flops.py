"""Counted parameters and operations against the modules themselves and torch's own counter."""

import pytest
import torch
from test_decoder_forward import SWITCHES, shape_of
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from superdyn.models.decoder.feature_transformer import FeatureTransformer
from superdyn.models.decoder.flops import parameter_count, token_flops
from superdyn.models.decoder.groups import parameter_groups
from superdyn.models.decoder.hardware import PEAK_TFLOPS, model_flops_utilisation, peak_flops
from superdyn.models.decoder.language_model import LanguageModel


@pytest.mark.parametrize("switches", SWITCHES)
def test_the_formula_counts_every_parameter(switches):
    shape = shape_of(SWITCHES[switches])
    for model, last_norm in ((LanguageModel(shape, [0], 50), True), (FeatureTransformer(shape, [0], 50), False)):
        counted = parameter_count(shape, 50, last_norm=last_norm)
        assert counted == sum(parameter.numel() for parameter in model.parameters())


def counted(model, x) -> int:
    """Operations of a forward pass with its backward, as torch counts them."""
    # The math form is products that the counter sees; a fused kernel's recomputation is no work of the model.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as forward:
        y = model(x)
    with FlopCounterMode(display=False) as backward:
        y.sum().backward()
    return forward.get_total_flops() + backward.get_total_flops()


@pytest.mark.parametrize("switches", SWITCHES)
def test_operations_are_those_that_torch_counts(switches):
    shape = shape_of(SWITCHES[switches])
    model = LanguageModel(shape, [0], 40)
    assert counted(model, torch.randint(40, (1, 3, 10))) == 30 * token_flops(shape, 40, 10)


def test_training_costs_six_operations_a_weight_and_token():
    shape = shape_of(SWITCHES["gpt2"])
    weights = shape.block_weights + shape.width * 50
    assert token_flops(shape, 50, 8) == 6 * weights + 12 * 2 * 8 * 24


@pytest.mark.parametrize(
    ("device", "row"),
    [
        ("NVIDIA A100-SXM4-80GB", "A100"),
        ("NVIDIA A100 80GB PCIe", "A100"),
        ("NVIDIA H100 80GB HBM3", "H100 SXM"),
        ("NVIDIA H100 PCIe", "H100 PCIe"),
        ("NVIDIA H100 NVL", "H100 NVL"),
        ("NVIDIA H200", "H200 SXM"),
        ("NVIDIA H200 NVL", "H200 NVL"),
        ("NVIDIA B200", "B200"),
        ("NVIDIA GeForce RTX 4090", "RTX 4090"),
    ],
)
def test_peaks_are_found_by_the_name_that_the_driver_gives(device, row):
    assert peak_flops(device, "bf16") == PEAK_TFLOPS[row]["bf16"] * 1e12


def test_utilisation_is_the_share_of_the_peak_and_unknown_on_a_cpu():
    assert model_flops_utilisation(1e6, 156e6, "NVIDIA A100-SXM4-40GB", "bf16") == pytest.approx(0.5)
    assert model_flops_utilisation(1e6, 156e6, "NVIDIA A100-SXM4-40GB", "bf16", n_devices=2) == pytest.approx(0.25)
    assert model_flops_utilisation(1e6, 1e6, "AMD EPYC", "fp32") is None
    assert peak_flops("NVIDIA GB200X", "bf16") is None


def test_groups_name_every_parameter_once_and_the_embeddings_that_decay_acts_on():
    model = LanguageModel(shape_of(SWITCHES["gpt2"] | {"tied": False, "head_rank": 6}), [0, 1], 50)
    groups = parameter_groups(model.named_parameters())
    assert groups["embedding"] == ("encoder", "decoder")
    assert {"head", "blocks.layers.0.mlp.up.weight"} < set(groups["matrix"])
    assert groups["position"] == ("blocks.positions",)
    assert {"norm.gain", "norm.bias", "blocks.layers.1.mlp.down.bias"} < set(groups["vector"])
    assert sorted(sum(groups.values(), ())) == sorted(dict(model.named_parameters()))
