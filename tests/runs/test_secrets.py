"""What a sweep leaves on disk holds nothing of the environment that it ran in."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from read_wandb import payloads

SECRETS = {
    "WANDB_API_KEY": "0123456789abcdef0123456789abcdef01234567",
    "HF_TOKEN": "hf_plantedplantedplantedplanted",
    "AWS_SECRET_ACCESS_KEY": "planted/aws+secret/0123456789",
    "MY_TOKEN": "planted-token-of-my-own",
}
GIT_TOKEN = "ghp_plantedplantedplanted"
TRAIN = "import sys; from superdyn.cli import main; sys.exit(main())"


@pytest.fixture(scope="module")
def sweep(tmp_path_factory) -> Path:
    """A real multirun, W&B offline, with a package of one's own from a dirty repository whose remote holds a token."""
    home = tmp_path_factory.mktemp("secrets")
    package = home / "own_laws"
    package.mkdir()
    (package / "__init__.py").write_text("from superdyn.features.values import Uniform\n\n\nclass Own(Uniform): ...\n")
    for command in (
        ["init", "-q"],
        ["remote", "add", "origin", f"https://me:{GIT_TOKEN}@github.com/me/own_laws.git"],
        ["add", "own_laws"],
        ["-c", "user.name=me", "-c", "user.email=me@example.org", "commit", "-q", "-m", "first"],
    ):
        subprocess.run(["git", *command], cwd=home, check=True)
    (package / "more.py").write_text("ANSWER = 42\n")
    (home / ".env").write_text("\n".join(f"{key}={value}" for key, value in SECRETS.items()))
    overrides = [
        "seed=0,1",
        "optimizer.lr=0.1,1e12",
        "model.activation=linear",
        "data.value_law=own_laws.Own",
        "notes=why I ran it",
    ]
    tiny = ["data.n_features=16", "data.batch_size=8", "data.eval_size=64", "trainer.max_steps=20", "logger=wandb"]
    environment = os.environ | SECRETS | {"WANDB_MODE": "offline", "SUPERDYN_PACKAGES": "own_laws"}
    command = [sys.executable, "-c", TRAIN, "train", "-m", *overrides, *tiny, "hydra.sweep.dir=sweep"]
    answer = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 1, answer.stderr  # the larger learning rate diverges
    return home / "sweep"


def test_no_secret_of_the_environment_is_in_any_file_of_a_sweep(sweep: Path) -> None:
    files = [path for path in sweep.rglob("*") if path.is_file()]
    records = [path for path in files if path.suffix == ".wandb"]
    assert len(records) == 4
    for path in files:
        data = path.read_bytes()
        texts = [data, *(payloads(data) if path in records else ())]  # a record may be cut at a block's end
        for secret in (*SECRETS.values(), GIT_TOKEN):
            assert not any(secret.encode() in text for text in texts), f"{path} holds {secret}"


def test_the_secrets_would_be_found_where_a_user_writes_them(sweep: Path) -> None:
    """The search itself sees into `.wandb` records: the value law's name is there."""
    record = next(sweep.rglob("*.wandb"))
    assert any(b"own_laws.Own" in text for text in payloads(record.read_bytes()))


def test_notes_are_those_of_the_wandb_run(sweep: Path) -> None:
    from wandb.proto.wandb_internal_pb2 import Record  # pyright: ignore[reportAttributeAccessIssue]

    records = map(Record.FromString, payloads(next(sweep.rglob("*.wandb")).read_bytes()))
    assert {record.run.notes for record in records if record.HasField("run")} == {"why I ran it"}
