"""One rank of a run of one rank, which exchanges with itself over NCCL, or gloo, what several would with each other.

NCCL refuses two ranks on one GPU, so this is as much of it as one GPU can show. The command line takes a lone rank for
a process without a group; here it is told that there is one. torchrun starts it: `train FOLDER` trains the runs of
FOLDER/runs.json in the way of several ranks, `exchange FOLDER` tries what those exchange, one thing after the other.
"""

import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor

from superdyn.config import RunConfig
from superdyn.features.datamodule import Chunk, FeatureDataModule
from superdyn.models.gradients import Gradients
from superdyn.runs.checkpoints import load_checkpoint
from superdyn.runs.folder import RunFolder
from superdyn.runs.shard_writer import save_shards
from superdyn.sweeps import sweep
from superdyn.sweeps.points import Point
from superdyn.sweeps.ranks import admission, process_group, strategies
from superdyn.sweeps.ranks.place import Place
from superdyn.training.data_parallel import Ranks
from superdyn.training.module import SuperpositionModule

BACKENDS = {"cpu": "gloo", "cuda": "nccl"}


def train(root: Path, configs: dict[str, RunConfig]) -> None:
    """The runs, in folders of their names."""
    sweep.run_sweep([Point((), config, RunFolder(root / name)) for name, config in configs.items()], root)


def exchange(root: Path, configs: dict[str, RunConfig]) -> None:
    """What ranks tell each other, and a language model in shards; the first thing that fails ends this process."""
    (config,) = configs.values()
    device = "cuda" if config.trainer.accelerator == "gpu" else "cpu"
    with process_group.joined([config], root) as ranks:
        group = dist.group.WORLD
        assert group is not None
        assert group._get_backend(torch.device(device)).name() == BACKENDS[device]
        _try_values(ranks, device)
        _try_shards(ranks, config, DeviceMesh.from_group(group, device, mesh_dim_names=("data_parallel",)), root)


def _try_values(ranks: Ranks, device: str) -> None:
    x = torch.arange(6.0, device=device).reshape(2, 3)
    for sharded in (False, True):
        loss, gradients = ranks.mean(Gradients(x[:, 1].clone(), {"w": x.clone()}), sharded=sharded)
        torch.testing.assert_close((loss, gradients["w"]), (x[:, 1], x))
    torch.testing.assert_close(ranks.total(x.clone()), x)
    torch.testing.assert_close(ranks.side_by_side(x.mT, 1), x.mT)
    copy = x.mT.clone().mT
    ranks.copy_first([copy])
    torch.testing.assert_close(copy, x)
    assert ranks.largest([3, 1]) == [3, 1]
    assert ranks.from_first("word") == "word"
    assert ranks.from_all({"a": 1}) == [{"a": 1}]


def _try_shards(ranks: Ranks, config: RunConfig, mesh: DeviceMesh, root: Path) -> None:
    """Eight steps, saved in parts; eight more by another module that starts from them: those of sixteen unsharded."""
    whole, first, second = (SuperpositionModule([config]).to(mesh.device_type) for _ in range(3))
    draws = FeatureDataModule([config], first.boundaries).stream.draws
    for module in (first, second):
        module.engine.shard(mesh)
    for module, start, stop in ((whole, 0, 16), (first, 0, 8), (second, 8, 16)):
        if module is second:
            save_shards(ranks, root / "checkpoints", 8, lambda: first.member_state(0), first.member_places)
            saved = load_checkpoint(root / "checkpoints", 8, mapped=True)
            assert saved is not None
            module.load_member_states([saved.state], 8)
        module.on_fit_start()
        module.train_chunk(Chunk(start, stop, draws))
        module.step = stop
        loss = module.measure().loss
    assert all(isinstance(parameter, DTensor) for parameter in second.student.parameters())
    assert len(second.member_places()) > len(list(second.student.parameters()))
    expected = whole.member_state(0)
    for name, tensor in second.member_state(0).items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-5, atol=1e-6, msg=name)
    torch.testing.assert_close(loss, whole.measure().loss, rtol=1e-5, atol=0)


if __name__ == "__main__":
    for room in (admission, process_group, strategies, sweep):
        vars(room)["place"] = lambda: Place("torchrun", 0, 1, 0, 1)
    command, folder = sys.argv[1], Path(sys.argv[2])
    runs = {name: RunConfig.from_mapping(run) for name, run in json.loads((folder / "runs.json").read_text()).items()}
    {"train": train, "exchange": exchange}[command](folder, runs)
