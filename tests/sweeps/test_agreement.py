"""What ranks ask of each other before they train, over torch's store; two machines are two threads with one store."""

import json
import socket
import threading

import pytest
from torch._C._distributed_c10d import HashStore

from superdyn.config import ConfigError
from superdyn.sweeps.ranks import agreement
from superdyn.sweeps.ranks.admission import check_multirun, check_start
from superdyn.sweeps.ranks.agreement import agree
from superdyn.sweeps.ranks.keep_alive import LOST_SECONDS, notice_lost_machines
from superdyn.sweeps.ranks.place import Place

PLACES = [Place("torchrun", rank, 2, local_rank=0, local_size=1) for rank in range(2)]


@pytest.fixture
def answers():
    """Call with the configurations of two ranks; returns what each is told, None if it may train."""

    def ask(*configs):
        store, told = HashStore(), {}

        def rank(here):
            try:
                agree(here, [configs[here.rank]], store)
                told[here.rank] = None
            except ConfigError as error:
                told[here.rank] = str(error)

        threads = [threading.Thread(target=rank, args=(here,)) for here in PLACES]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return [told[rank] for rank in range(2)]

    return ask


def test_ranks_of_one_command_agree(answers, make_config):
    assert answers(make_config(), make_config()) == [None, None]


def test_ranks_of_different_commands_are_all_told_what_differs(answers, make_config):
    told = answers(make_config(), make_config(seed=1, trainer__chunk_steps=4))
    assert told[0] == told[1]
    host = socket.gethostname()
    assert told[0] == (
        f"seed=1, trainer.chunk_steps=4 on {host} (rank 1) and seed=0, trainer.chunk_steps=8 on {host} (rank 0): every "
        f"machine must start the same command."
    )


def test_another_state_of_the_code_is_refused(make_config):
    store, (first, second) = HashStore(), PLACES
    word = agreement._word_of(second, [make_config()])
    word |= {"host": "far", "code": word["code"] | {"superdyn": "0.0.9"}}
    store.set("superdyn/rank 1", json.dumps(word))
    with pytest.raises(ConfigError, match=r"^superdyn 0\.0\.9 on far \(rank 1\) and superdyn .* the same code\.$"):
        agree(first, [make_config()], store)


def test_a_rank_that_does_not_come_is_named(make_config, monkeypatch):
    monkeypatch.setattr(agreement, "PATIENCE", agreement.PATIENCE / 300)
    with pytest.raises(ConfigError, match=r"^rank 1 of 2: did not join within"):
        agree(PLACES[0], [make_config()], HashStore())


def test_the_kernel_watches_the_connections_of_ranks():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as connection:
        notice_lost_machines()
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 1000 * LOST_SECONDS
        probes = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        idle, every, count = (connection.getsockopt(socket.IPPROTO_TCP, option) for option in probes)
        assert idle + every * count == LOST_SECONDS


@pytest.mark.parametrize("launcher", ["pack", "local", "ray"])
def test_a_sweep_over_machines_is_refused_with_the_launcher_that_can(launcher, make_config):
    ranks = {"trainer__strategy": "ddp", "trainer__devices": 2, "trainer__num_nodes": 2}
    works = r"superdyn train -m launcher=slurm trainer=ddp trainer\.devices=2 trainer\.num_nodes=2"
    with pytest.raises(ConfigError, match=works):
        check_multirun(make_config(**ranks, launcher__name=launcher))
    with pytest.raises(ConfigError, match=r"torchrun --nnodes 2 .* or srun --nodes 2 .* launcher=slurm"):
        check_start([make_config(**ranks, launcher__name=launcher)])
    check_start([make_config(**ranks, launcher__name="slurm")])
