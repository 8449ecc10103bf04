"""A configuration names only code that the user allows outside of it, and nothing else is ever imported."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from superdyn.analysis.claims import _find
from superdyn.config import ConfigError
from superdyn.config.targets import allowed_packages, resolve_target, user_package
from superdyn.features.values import value_law
from superdyn.models.protocol import student_class
from superdyn.retry import recorded_points
from superdyn.runs.folder import RunFolder
from superdyn.runs.sweep_folder import SweepPoint, add_points

RESOLVERS = {"model._target_": student_class, "data.value_law": value_law, "claim.judge": _find}


@pytest.fixture
def intruder(tmp_path, monkeypatch):
    """A package on the import path whose import leaves a mark; returns where the mark would be."""
    mark = tmp_path / "imported"
    (tmp_path / "intruder.py").write_text(f"import pathlib\npathlib.Path({str(mark)!r}).touch()\nclass Law: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield mark
    sys.modules.pop("intruder", None)


@pytest.mark.parametrize("key", RESOLVERS)
def test_a_package_that_is_not_named_is_refused_before_it_is_imported(key, intruder):
    with pytest.raises(ConfigError, match=r"may only name superdyn, torch\.optim; .*SUPERDYN_PACKAGES=intruder\.$"):
        RESOLVERS[key]("intruder.module:Law")
    assert not intruder.exists()


@pytest.mark.parametrize("name", ["os:system", "subprocess.Popen", "builtins.eval", "torch.load", "superdynamics.X"])
def test_code_of_others_is_refused(name):
    with pytest.raises(ConfigError, match="may only name"):
        resolve_target("claim.judge", name)


def test_what_our_modules_import_is_not_ours():
    with pytest.raises(ConfigError, match=r"superdyn\.cli:os\.system.*defined in (posix|nt)"):
        resolve_target("claim.judge", "superdyn.cli:os.system")


@pytest.mark.parametrize("name", ["", ".", "superdyn..x", "super dyn.x", "superdyn:"])
def test_a_name_of_the_wrong_form_is_refused(name):
    with pytest.raises(ConfigError, match="must have the form"):
        resolve_target("model._target_", name)


def test_ours_and_torchs_optimizers_are_found():
    import torch

    assert resolve_target("optimizer", "torch.optim.Adam") is torch.optim.Adam
    assert resolve_target("claim.judge", "superdyn.analysis.claims.ceiling:ceiling").__name__ == "ceiling"


@pytest.mark.parametrize("how", ["variable", "pyproject", "pyproject above"])
def test_a_package_that_the_user_names_is_allowed(how, intruder, tmp_path, monkeypatch):
    if how == "variable":
        monkeypatch.setenv("SUPERDYN_PACKAGES", "another, intruder")
    else:
        (tmp_path / "pyproject.toml").write_text('[tool.superdyn]\npackages = ["intruder"]\n')
    if how == "pyproject above":
        (tmp_path / "below").mkdir()
        (tmp_path / "below" / "pyproject.toml").write_text("[project]\nname = 'below'\n")
        monkeypatch.chdir(tmp_path / "below")
    assert resolve_target("data.value_law", "intruder.Law").__module__ == "intruder"
    assert user_package("intruder.Law") == "intruder"
    assert user_package("superdyn.models.student.Student") is None
    assert user_package("uniform") is None


@pytest.mark.parametrize(
    "text", ["[tool.superdyn]\npackages = 'low_rank'", "[tool.superdyn", '[tool.superdyn]\npackages=["a b"]']
)
def test_a_wrong_list_of_packages_is_refused_in_a_sentence(text, tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").write_text(text)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"pyproject\.toml|tool\.superdyn"):
        allowed_packages()


def test_retry_of_a_strangers_folder_runs_none_of_its_code(intruder, tmp_path, make_config):
    run = RunFolder(tmp_path / "sweep" / "run")
    run.write_config(make_config(data__value_law="intruder.Law").to_mapping())
    shutil.copy(tmp_path / "intruder.py", run.path / "intruder.py")
    (run.path / "pyproject.toml").write_text('[tool.superdyn]\npackages = ["intruder"]\n')
    command = [sys.executable, "-c", "import sys; from superdyn.cli import main; sys.exit(main())", "retry", "sweep"]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert answer.returncode == 1
    assert "intruder" in (RunFolder(run.path).status().error or "")  # pyright: ignore[reportOptionalMemberAccess]
    assert not intruder.exists()


@pytest.mark.parametrize("folder", ["../elsewhere", "..", "/tmp/elsewhere", "", "a/b"])
def test_a_strangers_manifest_names_no_folder_outside_the_sweep(folder, tmp_path):
    content = {"points": [{"signature": "f" * 64, "folder": folder, "overrides": []}]}
    (tmp_path / "sweep.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"sweep\.json: folder=.* must be the name of a folder inside the sweep"):
        recorded_points(tmp_path)


def test_a_strangers_manifest_does_not_read_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "planted")
    add_points(tmp_path, [SweepPoint("f" * 64, "run", ("name=${oc.env:MY_TOKEN}",))])
    with pytest.raises(ConfigError, match=r"sweep\.json.*reads the environment"):
        recorded_points(tmp_path)


def test_a_folder_to_work_in_does_not_shadow_installed_packages(tmp_path):
    (tmp_path / "yaml.py").write_text("raise SystemExit('shadowed')")
    code = "import sys; from superdyn.cli import main; main(['status', '.'])"
    answer = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "shadowed" not in answer.stderr
    assert answer.returncode == 0


def test_the_launcher_and_sweeper_that_hydra_builds_are_ours():
    from hydra import compose, initialize_config_dir

    import hydra_plugins.superdyn_plugins  # noqa: F401
    from superdyn.conf_path import conf_path

    with initialize_config_dir(str(conf_path()), version_base="1.3"):
        config = compose(
            "config", return_hydra_config=True, overrides=["hydra.job.num=0", "hydra.runtime.output_dir=x"]
        )
    for part in ("launcher", "sweeper"):
        assert config.hydra[part]._target_.startswith("hydra_plugins.superdyn_plugins.")
    assert Path(sys.modules["hydra_plugins.superdyn_plugins"].__file__ or "").name == "superdyn_plugins.py"
