"""The process group of the ranks of one run, which `group.py` or the user has started (`place.py`)."""

import gc
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.distributed as dist
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment

from superdyn.config import ConfigError, RunConfig
from superdyn.sweeps.exit_codes import WRONG_INPUT
from superdyn.sweeps.ranks.agreement import agree, met_store
from superdyn.sweeps.ranks.keep_alive import notice_lost_machines
from superdyn.sweeps.ranks.place import Place, node_address, place
from superdyn.sweeps.ranks.shared_folder import check_shared
from superdyn.sweeps.ranks.strategies import cluster_environment, lightning_accelerator
from superdyn.training.data_parallel import RankLost, Ranks, brief


@contextmanager
def joined(configs: Sequence[RunConfig], sweep_dir: Path) -> Iterator[Ranks]:
    """The process group of the ranks of these runs in `sweep_dir`; a process that is no rank stays alone.

    After an error the group is left as it is, since others may still wait in it; the process then ends.

    Raises:
        ConfigError: the ranks do not fit their machines, do not agree or do not reach each other.
        RankLost: one of them is gone; only the first rank of a machine says so.
    """
    here = place()
    if here is None:
        yield Ranks.current()
        return
    environment = cluster_environment(here)
    if here.starter == "srun" and "MASTER_ADDR" not in os.environ:
        first = SLURMEnvironment.resolve_root_node_address(os.environ["SLURM_STEP_NODELIST"])
        os.environ["MASTER_ADDR"] = node_address(first)
    os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = environment.main_address, str(environment.main_port)
    on_gpu = lightning_accelerator(configs[0].trainer) == "gpu"
    if on_gpu:
        torch.cuda.set_device(environment.local_rank())
    store = met_store(here)
    try:
        agree(here, configs, store)
        _start(here, "cpu:gloo,cuda:nccl" if on_gpu else "gloo", store)
        if here.n_machines > 1 and configs[0].trainer.shards:
            check_shared(Ranks.current(), sweep_dir)
        yield Ranks.current()
    except (ConfigError, RankLost) as error:
        if here.local_rank == 0:
            raise
        raise SystemExit(WRONG_INPUT if isinstance(error, ConfigError) else 1) from error
    gc.collect()  # what is left of sharded runs holds the group, whose threads must end before the interpreter does
    dist.destroy_process_group()


def _start(
    here: Place,
    backend: str,
    store: dist.Store,  # pyright: ignore[reportPrivateImportUsage]
) -> None:
    """Connect the ranks; what they decide together travels on the host, so that no GPU is waited for."""
    try:
        dist.init_process_group(backend, store=store, rank=here.rank, world_size=here.size)
    except RuntimeError as error:
        said = brief(error)
        raise ConfigError(
            f"the ranks on {socket.gethostname()} cannot reach all others ({said}); set GLOO_SOCKET_IFNAME=NAME on "
            f"every machine to the network interface between them, which ip address shows."
        ) from error
    if here.n_machines > 1:
        notice_lost_machines()
