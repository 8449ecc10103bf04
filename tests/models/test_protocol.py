"""A student of the user's own that cannot be trained is refused when it is built."""

import sys

import pytest

from superdyn.config import ConfigError
from superdyn.models.protocol import build_student
from superdyn.training.feasible import check_feasible

CODE = """
import torch
from torch import nn
class Idle(nn.Module):
    def __init__(self, configs): super().__init__()
class Frozen(nn.Module):
    def __init__(self, configs):
        super().__init__()
        self.map = nn.Parameter(torch.zeros(len(configs), 2), requires_grad=False)
class Shared(nn.Module):
    def __init__(self, configs):
        super().__init__()
        self.map = nn.Parameter(torch.zeros(configs[0].data.n_features, 2))
class Short(nn.Module):
    def __init__(self, configs):
        super().__init__()
        self.map = nn.Parameter(torch.zeros(len(configs), configs[0].data.n_features, 3))
    def forward(self, x): return x @ self.map
"""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Idle", "has no parameter to train"),
        ("Frozen", "has no parameter to train"),
        (
            "Shared",
            r"parameter map has shape \(32, 2\); allowed are shapes with the run axis first, here \(1, \.\.\.\)",
        ),
    ],
)
def test_a_student_that_cannot_be_trained_is_refused(name, message, make_config, tmp_path, monkeypatch):
    (tmp_path / "own_students.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("SUPERDYN_PACKAGES", "own_students")
    with pytest.raises(ConfigError, match=message):
        build_student([make_config(model___target_=f"own_students.{name}")])
    sys.modules.pop("own_students", None)


def test_outputs_of_another_shape_are_refused_before_the_launch(make_config, tmp_path, monkeypatch):
    (tmp_path / "own_students.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("SUPERDYN_PACKAGES", "own_students")
    with pytest.raises(ConfigError, match=r"returns outputs of shape \(1, 2, 3\) for inputs of shape \(1, 2, 32\)"):
        check_feasible(make_config(model___target_="own_students.Short"))
    sys.modules.pop("own_students", None)
