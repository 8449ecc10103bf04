"""The value laws as functions of tensors, the user's own included."""

import numpy as np
import pytest
import torch

from superdyn.config import ConfigError
from superdyn.features.device_draws import DeviceDraws, can_draw_on_device
from superdyn.features.device_quantiles import QUANTILES, device_quantile
from superdyn.features.generator import Stream
from superdyn.features.sampler import SMALLEST, make_sampler
from superdyn.features.values import VALUE_LAWS, value_law
from superdyn.training.feasible import check_feasible

_LAW = """
import numpy as np
import torch
class Exponential:
    mean, second_moment = 1.0, 2.0
    def quantile(self, u):
        return -np.log1p(-u)
"""


@pytest.fixture
def own_law(tmp_path, monkeypatch):
    def write(package, of_tensor):
        method = f"    def device_quantile(self, u):\n        return {of_tensor}\n" if of_tensor else ""
        (tmp_path / f"{package}.py").write_text(_LAW + method)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setenv("SUPERDYN_PACKAGES", package)
        return f"{package}.Exponential"

    return write


@pytest.mark.parametrize("name", sorted(VALUE_LAWS))
def test_every_law_of_ours_is_one_of_tensors(name):
    u = np.concatenate([[SMALLEST], np.linspace(0.0, 1.0, 1001)[1:-1], [1.0 - 2.0**-53]])
    np.testing.assert_allclose(QUANTILES[name](torch.from_numpy(u)).numpy(), value_law(name).quantile(u), rtol=1e-12)


def test_a_law_of_the_users_own_is_drawn_on_the_device(own_law, run_config):
    config = run_config(value_law=own_law("law_of_tensors", "-torch.log1p(-u)"), batch_size=64)
    assert can_draw_on_device(config)
    points = DeviceDraws([config], torch.float64).points(3, 1)
    x = torch.zeros(64 * config.data.n_features + 1, dtype=torch.float64)
    x[points.places[0]] = points.values[0]
    host = make_sampler(config.data, config.seed).draw(Stream.TRAIN, 3, 1, dtype=np.float64)
    np.testing.assert_allclose(x[:-1].view(host.shape).numpy(), host, rtol=1e-12)


def test_a_heavy_tail_hides_no_difference(tmp_path, monkeypatch):
    law = """
import torch
class Pareto:
    mean, second_moment = 2.1 / 1.1, 2.1 / 0.1
    def quantile(self, u):
        return (1.0 - u) ** (-1.0 / 2.1)
    def device_quantile(self, u):
        return (1.0 - u) ** (-1.0 / 2.1) + 1e-4
"""
    (tmp_path / "heavy.py").write_text(law)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("SUPERDYN_PACKAGES", "heavy")
    with pytest.raises(ConfigError, match=r"device_quantile\(.*\) gives .*the same function"):
        device_quantile("heavy.Pareto")


def test_one_without_is_drawn_by_the_host(own_law, run_config):
    config = run_config(value_law=own_law("law_of_arrays", None), batch_size=64)
    assert not can_draw_on_device(config)
    check_feasible(config)


@pytest.mark.parametrize(
    ("package", "of_tensor", "reason"),
    [
        (
            "law_of_another",
            "-torch.log1p(-u) * 1.1",
            r"device_quantile\(.*\) gives .*, and quantile\(u\) gives .* the same",
        ),
        ("law_in_single", "(-torch.log1p(-u)).float()", "shape, type and device of u"),
        ("law_with_a_gap", "torch.where((u > 0.5) & (u < 0.5045), 0.0, -torch.log1p(-u))", "gives 0, and quantile"),
        ("law_that_raises", "torch.no_such_function(u)", "device_quantile.* raised .*no_such_function"),
    ],
)
def test_one_that_differs_is_refused_before_a_launch(package, of_tensor, reason, own_law, run_config):
    config = run_config(value_law=own_law(package, of_tensor))
    with pytest.raises(ConfigError, match=rf"data\.value_law='{package}\.Exponential': .*{reason}"):
        check_feasible(config)
