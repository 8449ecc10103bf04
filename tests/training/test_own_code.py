"""Students, update rules and measures of the user's own: what they may do, and what is refused before a launch."""

import sys

import numpy as np
import pytest
import torch
from training.test_packs import assert_same_run
from training.token_runs import TOKENS

from superdyn.analysis import load_curve, load_spectrum
from superdyn.config import ConfigError
from superdyn.runs.checkpoints import checkpoint_steps
from superdyn.runs.trained import load_student
from superdyn.training.feasible import check_feasible

STUDENTS = """
import numpy as np, torch
from torch import nn
from superdyn.features.generator import normals
from superdyn.models.language_model import TokenStudent
class Good(nn.Module):
    def __init__(self, configs):
        super().__init__()
        shape = (configs[0].model.width, configs[0].data.n_features)
        drawn = np.stack([normals(c.seed, shape, "w") / 4 for c in configs])
        self.w = nn.Parameter(torch.from_numpy(drawn).float())
    def forward(self, x): return torch.relu(x @ self.w.mT @ self.w)
class TakesWidth(nn.Module):
    def __init__(self, width, depth): super().__init__()
class NeedsOption(Good):
    def __init__(self, configs):
        super().__init__(configs)
        self.gain = configs[0].model.options["gain"]
class Pair(Good):
    def forward(self, x): return super().forward(x), None
class Broken(Good):
    def forward(self, x): return super().forward(x) + self.nothing
class NotFinite(Good):
    def forward(self, x): return super().forward(x) * float("nan")
class Idle(Good):
    def __init__(self, configs):
        super().__init__(configs)
        self.extra = nn.Parameter(torch.zeros(len(configs), 3))
class Double(Good):
    def __init__(self, configs):
        super().__init__(configs)
        self.w = nn.Parameter(self.w.double())
class Unseeded(Good):
    def __init__(self, configs):
        super().__init__(configs)
        self.w = nn.Parameter(torch.randn_like(self.w))
class Mixing(Good):
    def forward(self, x): return super().forward(x) * x.std()
class Random(Good):
    def forward(self, x): return nn.functional.dropout(super().forward(x))
class Counting(Good):
    def __init__(self, configs):
        super().__init__(configs)
        self.register_buffer("count", torch.zeros(()))
class OwnLanguageModel(TokenStudent): pass
class Flat(Good):
    def embedding(self): return self.w[:, 0]
"""

RULES = """
from superdyn.training.optimizers.protocol import StackedOptimizer, per_member
class Lion(StackedOptimizer):
    coupled_decay = False
    def __init__(self, parameters, configs, *others):
        super().__init__(parameters, configs, *others)
        self.beta = configs[0].options.get("beta", 0.9)
        self._add_slot("momentum")
    def _step(self, gradient, lr):
        momentum = self.get_buffer("momentum")
        step = (momentum * self.beta + gradient * (1 - self.beta)).sign() * per_member(lr, gradient)
        momentum.mul_(0.99).add_(gradient * 0.01)
        return step
class NoStep(StackedOptimizer):
    coupled_decay = False
class NoRule: pass
class Broken(Lion):
    def _step(self, gradient, lr): return gradient[:, :3]
"""

MEASURES = """
import torch
def rows(student, configs):
    norm = student.encoder.norm(dim=1)
    return {"row_norm": norm, "largest_norm": norm.amax(1)}
def broken(student, configs): return {"x": student.nothing}
def number(student, configs): return {"x": 3.0}
def matrix(student, configs): return {"x": student.encoder}
def taken(student, configs): return {"loss": torch.zeros(len(configs))}
def bare(student, configs): return torch.zeros(len(configs))
def layers(student, configs): return {"layers": torch.full((len(configs),), float(len(student.blocks.layers)))}
"""


@pytest.fixture(autouse=True)
def own_package(tmp_path):
    """A package of the user's own, `mine`, that configurations may name, whatever else a test undoes."""
    (tmp_path / "mine").mkdir()
    for name, code in {"__init__": "", "students": STUDENTS, "rules": RULES, "measures": MEASURES}.items():
        (tmp_path / "mine" / f"{name}.py").write_text(code)
    (tmp_path / "mine" / "needs.py").write_text("import not_installed_here\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        patch.setenv("SUPERDYN_PACKAGES", "mine")
        yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "mine"]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("needs.Student", r"cannot be imported \(needs\.py, line 1: No module named 'not_installed_here'\)"),
        ("students.TakesWidth", r"missing 1 required positional argument: 'depth'; it is constructed as Student\("),
        ("students.NeedsOption", r"students\.py, line 18: KeyError: 'gain'"),
        ("students.Pair", "forward returns tuple; allowed is a tensor"),
        ("students.Broken", r"students\.py, line 22: AttributeError: 'Broken' object has no attribute 'nothing'"),
        ("students.NotFinite", "outputs that are not finite"),
        ("students.Idle", "the output does not depend on extra"),
        ("students.Double", r"parameter w is torch\.float64"),
        ("students.Unseeded", "w has other initial values each time"),
        ("students.Random", "gives other outputs for the same inputs each time"),
        ("students.Mixing", "depends on the other runs of its pack"),
        ("students.Counting", r"buffer count has shape \(\)"),
        ("students.Flat", r"embedding\(\) must return a tensor of axes run, hidden and feature"),
    ],
)
def test_a_student_that_breaks_a_promise_is_refused_in_one_sentence(name, message, make_config):
    with pytest.raises(ConfigError, match=message):
        check_feasible(make_config(model___target_=f"mine.{name}"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("NoStep", "lacks _step"),
        ("NoRule", "must be a subclass of .*StackedOptimizer"),
        ("Broken", "RuntimeError: The size of tensor"),
    ],
)
def test_an_update_rule_that_cannot_step_is_refused(name, message, make_config):
    with pytest.raises(ConfigError, match=message):
        check_feasible(make_config(optimizer__name=f"mine.rules.{name}"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("broken", r"measures\.py, line 6: AttributeError: 'Student' object has no attribute 'nothing'"),
        ("number", "x is of type float; allowed are tensors"),
        ("matrix", r"x is a tensor of shape \(1, 16, 32\)"),
        ("taken", "returns the name 'loss'; allowed is a text that is not in use yet"),
        ("bare", "returned a tensor of shape .* allowed is a dict"),
    ],
)
def test_a_measure_of_another_form_is_refused(name, message, make_config):
    with pytest.raises(ConfigError, match=message):
        check_feasible(make_config(trainer__measures=[f"mine.measures.{name}"]))


GQA = {"n_layers": 3, "context": 16, "n_heads": 4, "n_kv_heads": 2, "head_rank": 16}
WIDE = {
    **TOKENS, "model__width": 512, "model__allow_overcomplete": True, "model__tied": False, "model__decoder": GQA,
    "trainer__precision": "bf16-mixed",
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer__name": "mine.rules.Broken"}, r"^optimizer\.name='mine\.rules\.Broken': .*The size of tensor"),
        ({"trainer__measures": ["mine.measures.broken"]}, r"measures\.py, line 6: AttributeError: 'TokenStudent'"),
        ({"trainer__measures": ["mine.measures.number"]}, r"x is of type float"),
        ({"trainer__measures": ["mine.measures.rows"]}, r"row_norm is .* \(1, 64\); allowed .* \(1,\), .* or \(1, 6\)"),
    ],
)
def test_own_code_of_a_language_model_is_tried_too(changes, message, make_config):
    for model in (TOKENS, WIDE):
        with pytest.raises(ConfigError, match=message):
            check_feasible(make_config(**{**model, **changes}))


def test_an_own_rule_and_own_measures_train_a_language_model(make_config, train_together):
    own = {"optimizer__name": "mine.rules.Lion", "trainer__measures": ["mine.measures.layers"]}
    for student in (WIDE["model___target_"], "mine.students.OwnLanguageModel"):
        check_feasible(make_config(**{**WIDE, **own, "model___target_": student}))
    (folder,) = train_together([make_config(**{**TOKENS, **own, "trainer__max_steps": 2})])
    assert load_curve(folder.path)["layers"].tolist()[-1] == 2


def test_a_measure_of_every_feature_is_accepted(make_config):
    check_feasible(make_config(trainer__measures=["mine.measures.rows"]))


def test_an_own_rule_and_own_measures_train_resume_and_are_read_back(make_config, train_together, stop_at):
    configs = [
        make_config(
            seed=seed,
            optimizer={"name": "mine.rules.Lion", "lr": 0.01, "options": {"beta": 0.8}},
            trainer__measures=["mine.measures.rows"],
        )
        for seed in range(2)
    ]
    whole = train_together(configs, "whole")
    stop_at(9)
    assert checkpoint_steps(train_together(configs, "stopped")[0].checkpoints)[-1] < 20
    stop_at.undo()
    for one, other in zip(whole, train_together(configs, "stopped"), strict=True):
        assert_same_run(one, other)
        for column in ("loss", "row_norm"):
            np.testing.assert_array_equal(load_spectrum(one.path, column)[1], load_spectrum(other.path, column)[1])
    norms, curve = load_spectrum(whole[0].path, "row_norm")[1], load_curve(whole[0].path)
    assert norms.shape == (len(curve), 32)
    np.testing.assert_allclose(curve["largest_norm"], norms.max(axis=1), rtol=1e-6)
    assert curve["loss"].iloc[-1] < curve["loss"].iloc[0]
    with pytest.raises(ValueError, match="allows loss, row_norm"):
        load_spectrum(whole[0].path, "rownorm")


def test_a_trained_student_comes_back_from_its_folder(make_config, train_together):
    (folder,) = train_together([make_config(model___target_="mine.students.Good", trainer__measures=[])])
    trained = load_student(folder.path)
    saved = torch.load(folder.checkpoints / "step-0000000020.pt")["state"]["student/w"]
    assert trained.step == 20
    torch.testing.assert_close(trained.student.get_parameter("w")[0].detach(), saved, rtol=0, atol=0)
    with pytest.raises(ValueError, match=r"step=7: there is no such checkpoint; allowed are \["):
        load_student(folder.path, 7)


def test_settings_that_a_run_once_did_without_leave_its_signature_as_it_was(make_config):
    plain = make_config().signature()
    assert make_config(trainer__measures=[], optimizer__options={}).signature() == plain
    assert make_config(trainer__measures=["mine.measures.rows"]).signature() != plain
