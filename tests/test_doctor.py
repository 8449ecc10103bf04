"""The doctor names what is wrong, says what to do, and prints no secret."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from superdyn import doctor as room
from superdyn.doctor import (
    Check,
    check_folder,
    check_package,
    check_python,
    doctor,
    doctor_table,
    exit_status,
)


def rendered(checks: list[Check]) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(doctor_table(checks))
    return console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]


def test_this_machine_can_run_superdyn() -> None:
    checks = doctor()
    assert exit_status(checks) == 0
    names = {check.name for check in checks}
    assert {"python", "torch", "pytorch-lightning", "hydra-core", "wandb", "cpu", "launcher"} <= names
    assert "working folder" in rendered(checks)


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("pytorch-lightning", "2.6.2"),
        ("pytorch-lightning", "2.6.3"),
        ("hydra-core", "1.3.5"),
        ("hydra-core", "1.4.0"),
        ("torch", "2.10.0"),
        ("wandb", "0.30.2"),
        ("numpy", None),
    ],
)
def test_a_bad_version_fails_with_a_remedy(name: str, version: str | None) -> None:
    check = check_package(name, version)
    assert check.outcome == "fail"
    assert "pip install" in check.remedy
    assert exit_status([check]) == 1


@pytest.mark.parametrize("version", ["2.11.0+cu128", "2.13.0+cpu", "2.14.0.dev20260101"])
def test_builds_of_a_good_torch_pass(version: str) -> None:
    assert check_package("torch", version).outcome == "ok"


def test_malware_is_called_by_its_name() -> None:
    assert "malware" in check_package("pytorch-lightning", "2.6.3").remedy


@pytest.mark.parametrize(("version", "outcome"), [("3.10.9", "fail"), ("3.13.1", "ok"), ("3.14.0", "fail")])
def test_python_must_be_one_that_hydra_works_on(version: str, outcome: str) -> None:
    assert check_python(version).outcome == outcome


def test_a_folder_that_cannot_be_written_fails(tmp_path: Path) -> None:
    assert check_folder("here", tmp_path).outcome == "ok"
    assert check_folder("here", tmp_path / "never made").outcome == "fail"
    assert list(tmp_path.iterdir()) == []


def test_the_packages_that_a_configuration_may_name_are_listed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert room.check_targets().detail == "a configuration may name superdyn, torch.optim"
    monkeypatch.setenv("SUPERDYN_PACKAGES", "low_rank_elsewhere")
    assert room.check_targets().outcome == "warn"
    (tmp_path / "pyproject.toml").write_text("[tool.superdyn]\npackages = 3")
    assert room.check_targets().outcome == "fail"


def test_leftovers_of_a_launcher_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    check = room.check_launcher_variables()
    assert (check.outcome, check.detail) == ("warn", "LOCAL_RANK=1, WORLD_SIZE=2")
    assert check.remedy.endswith("unset LOCAL_RANK WORLD_SIZE")


def test_a_wandb_key_is_found_and_not_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    secret = "0123456789abcdef" * 3
    (tmp_path / "netrc").write_text(f"machine api.wandb.ai login user password {secret}\n")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    check = room.check_wandb_login()
    assert (check.outcome, "api.wandb.ai" in check.detail) == ("ok", True)
    monkeypatch.setenv("WANDB_API_KEY", secret)
    assert secret not in rendered([check, room.check_wandb_login()])


def test_online_without_a_key_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "absent"))
    assert room.check_wandb_login().outcome == "ok"
    monkeypatch.setenv("WANDB_MODE", "online")
    assert room.check_wandb_login().outcome == "fail"
    monkeypatch.setenv("WANDB_MODE", "onlin")
    assert room.check_wandb_mode().outcome == "fail"
