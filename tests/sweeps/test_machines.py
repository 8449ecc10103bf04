"""A run over two machines by the commands of docs/cluster.md; the machines are namespaces of this one (`machines.py`).

Whatever happens to one of them, the other ends with one sentence in bounded time, and the same command goes on.
"""

import json
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from sweeps.machines import two_machines, why_not
from training.test_packs import assert_same_run

from superdyn.cli import main
from superdyn.runs.checkpoints import checkpoint_steps
from superdyn.runs.folder import RunFolder
from superdyn.sweeps.ranks.keep_alive import LOST_SECONDS

TORCHRUN = [
    Path(sys.executable).with_name("torchrun"), "--nnodes", "2", "--nproc-per-node", "2", "--rdzv-backend", "c10d",
    "--rdzv-endpoint", "one:29500",
]  # fmt: skip
SOURCE = Path(__file__).parents[2]
SMALL = [
    "logger=none", "data.n_features=16", "data.batch_size=8", "data.eval_size=512", "model.activation=relu",
    "optimizer=adam", "trainer.max_steps=400", "trainer.checkpoint_minutes=0.0001", "trainer.chunk_steps=8",
]  # fmt: skip
LANGUAGE = [
    "model=language_model", "logger=none", "data.n_features=32", "data.batch_size=4", "data.length=8",
    "data.tokens.eval_tokens=64", "model.width=16", "model.decoder.n_layers=1", "model.decoder.size=null",
    "optimizer=adam", "optimizer.lr=0.001", "trainer.max_steps=60", "trainer.chunk_steps=4",
]  # fmt: skip
ENDED = "another rank of this run has ended or is out of reach"
START_SECONDS, END_SECONDS = 300.0, 60.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(why_not() is not None, reason=f"two machines: {why_not()}"),
]


@pytest.fixture
def machines(tmp_path):
    """Two machines, and a folder that both see as their working directory."""
    with two_machines(tmp_path) as pair:
        yield pair


def start(machine, folder, *overrides, run=SMALL, strategy="ddp", **environment):
    """The command of docs/cluster.md on one machine, in `folder`."""
    ranks = [f"trainer={strategy}", "trainer.devices=2", "trainer.num_nodes=2", "trainer.accelerator=cpu"]
    command = [*TORCHRUN, "-m", "superdyn.cli", "train", *ranks, *run, "hydra.run.dir=run", *overrides]
    folder.mkdir(exist_ok=True)
    return machine.start(["env", "-C", folder, *command], **environment)


def finish(*processes, seconds=START_SECONDS):
    """What each printed; all have ended within that time."""
    deadline = time.monotonic() + seconds
    return [process.communicate(timeout=max(deadline - time.monotonic(), 1))[0] for process in processes]


def status(folder):
    path = folder / "run" / "status.json"
    return json.loads(path.read_text()) if path.exists() else {"state": "missing", "step": 0}


def wait_until_in_training(folder, *processes):
    deadline = time.monotonic() + START_SECONDS
    while (found := status(folder))["step"] == 0 or found["state"] != "running":
        assert time.monotonic() < deadline
        assert all(process.poll() is None for process in processes)
        time.sleep(0.02)


def curve(folder):
    found = folder.curve()
    assert found is not None
    return found


def alone(folder, run=SMALL):
    """The run folder of one process."""
    assert main(["train", *run, "trainer.progress=false", f"hydra.run.dir={folder}"]) == 0
    return RunFolder(folder)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a run over two machines that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    with two_machines(folder) as (one, two):
        processes = [start(machine, folder) for machine in (one, two)]
        finish(*processes)
    assert [process.returncode for process in processes] == [0, 0]
    return RunFolder(folder / "run")


def test_two_machines_train_as_one_process_and_the_second_writes_nothing(machines, tmp_path):
    double = [*SMALL, "trainer.precision=64-true", "trainer.max_steps=100"]
    processes = [start(machine, tmp_path / machine.name, run=double) for machine in machines]
    finish(*processes)
    assert [process.returncode for process in processes] == [0, 0]
    together, one = RunFolder(tmp_path / "one" / "run"), alone(tmp_path / "alone", double)
    np.testing.assert_array_equal(curve(together)["step"], curve(one)["step"])
    np.testing.assert_allclose(curve(together)["loss"], curve(one)["loss"], rtol=1e-6)
    assert list((tmp_path / "two").iterdir()) == []


def test_two_machines_shard_a_language_model_over_storage_that_they_share(machines, tmp_path):
    double = [*LANGUAGE, "trainer.precision=64-true"]
    processes = [start(machine, tmp_path, run=double, strategy="fsdp") for machine in machines]
    finish(*processes)
    assert [process.returncode for process in processes] == [0, 0]
    together, one = RunFolder(tmp_path / "run"), alone(tmp_path / "alone", double)
    np.testing.assert_allclose(curve(together)["loss"], curve(one)["loss"], rtol=1e-6)
    parts = [path.name for path in sorted(together.checkpoints.glob("step-0000000060.*"))]
    assert parts == [f"step-0000000060.{rank}-of-4.pt" for rank in range(1, 5)]


def test_sharding_over_storage_that_is_not_shared_is_refused(machines, tmp_path):
    folder = tmp_path / "own"
    folder.mkdir()
    machines[1].start(["mount", "-t", "tmpfs", "none", folder]).communicate()
    processes = [start(machine, folder, run=LANGUAGE, strategy="fsdp") for machine in machines]
    said = finish(*processes)
    assert 0 not in [process.returncode for process in processes]
    assert said[0].count("own/run: not seen by ranks 2, 3; trainer.strategy=fsdp needs a run folder") == 1


@pytest.mark.parametrize("loss", ["kill two", "kill one", "unplug"])
def test_when_one_machine_is_lost_the_other_ends_in_one_sentence_and_the_same_command_goes_on(
    loss, machines, whole, tmp_path
):
    one, two = machines
    processes = {machine: start(machine, tmp_path) for machine in machines}
    wait_until_in_training(tmp_path, *processes.values())
    lost = one if loss == "kill one" else two
    if loss == "unplug":
        lost.unplug()
    else:
        lost.kill()
    left = [machine for machine in machines if loss == "unplug" or machine.name not in loss]
    deadline = time.monotonic() + LOST_SECONDS + END_SECONDS
    while any(processes[machine].poll() is None and machine.children(processes[machine]) for machine in left):
        assert time.monotonic() < deadline  # for the ranks; torchrun itself waits longer for the network
        time.sleep(0.1)
    if loss == "unplug":
        lost.plug()
        lost.kill()
    lost.boot()
    said = finish(*(processes[machine] for machine in left), seconds=END_SECONDS)
    finish(*(processes[machine] for machine in machines if machine not in left))
    assert 0 not in [processes[machine].returncode for machine in left]
    assert [text.count(ENDED) for text in said] == [1] * len(left)
    assert status(tmp_path)["step"] < 400
    again = [start(machine, tmp_path) for machine in machines]
    finish(*again)
    assert [process.returncode for process in again] == [0, 0]
    assert status(tmp_path)["state"] == "done"
    assert_same_run(RunFolder(tmp_path / "run"), whole)


def test_sigterm_to_one_machine_saves_and_ends_both(machines, whole, tmp_path):
    two = machines[1]
    processes = {machine: start(machine, tmp_path) for machine in machines}
    wait_until_in_training(tmp_path, *processes.values())
    two.send(processes[two], signal.SIGTERM)
    finish(*processes.values(), seconds=END_SECONDS)
    found = status(tmp_path)
    assert found["state"] == "interrupted"
    assert checkpoint_steps(RunFolder(tmp_path / "run").checkpoints)[-1] == found["step"]
    finish(*(start(machine, tmp_path) for machine in machines))
    assert_same_run(RunFolder(tmp_path / "run"), whole)


def other_code(folder):
    """A copy of this code with one change."""
    for name in ("src", "conf"):
        shutil.copytree(SOURCE / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    with (folder / "src" / "superdyn" / "theory.py").open("a") as file:
        file.write("\n# another state of the code\n")
    return {"PYTHONPATH": str(folder / "src")}


@pytest.mark.parametrize(
    ("case", "sentence"),
    [
        ("seed=1", "seed=1 on two (rank 2) and seed=0 on one (rank 0): every machine must start the same command."),
        ("trainer.num_nodes=1", "on two: trainer.devices=2, trainer.num_nodes=1: torchrun started 4 ranks, 2 on each"),
        ("other code", "on one (rank 0): every machine must run the same code."),
    ],
)
def test_machines_that_do_not_agree_are_refused_before_anything_is_written(case, sentence, machines, tmp_path):
    one, two = machines
    environment = other_code(tmp_path / "copy") if case == "other code" else {}
    first = start(one, tmp_path)
    second = start(two, tmp_path, *([] if environment else [case]), **environment)
    said, _ = finish(first, second)
    assert said.count(sentence) == 1
    assert 0 not in (first.returncode, second.returncode)
    assert not (tmp_path / "run").exists()


def test_names_that_lead_nowhere_are_told_with_what_to_set(tmp_path):
    with two_machines(tmp_path) as machines:
        for machine, other in zip(machines, reversed(machines), strict=True):
            machine.hosts = tmp_path / f"hosts-{machine.name}"  # as Debian writes it
            machine.hosts.write_text(f"127.0.0.1 localhost\n127.0.1.1 {machine.name}\n{other.address} {other.name}\n")
            machine.kill()
            machine.boot()
        assert "GLOO_SOCKET_IFNAME=NAME on every machine" in finish(*(start(m, tmp_path) for m in machines))[0]
        finish(*(again := [start(m, tmp_path, GLOO_SOCKET_IFNAME="cable") for m in machines]))
        assert [process.returncode for process in again] == [0, 0]
