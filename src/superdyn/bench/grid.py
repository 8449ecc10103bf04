"""How fast the grid of 540 autoencoders trains: packs of all weight decays and exponents, drawing included.

The grid (`conf/experiment/superposition_grid.yaml`, full tier) is one such pack a width. Measured at its narrowest and
widest; a step's time grows about evenly between them.
"""

from collections.abc import Mapping
from functools import cache
from itertools import product
from math import prod
from typing import Any

import torch
from hydra import compose, initialize_config_dir

from superdyn.bench.timing import Job
from superdyn.conf_path import conf_path
from superdyn.config import RunConfig
from superdyn.features.datamodule import Chunk, FeatureDataModule
from superdyn.hydra_app import register_with_hydra
from superdyn.sweeps.resolvers import to_run_config
from superdyn.training.module import SuperpositionModule

_CHUNK = 64
"""Steps that are handed to the module at a time."""

_MEMBERS = ("optimizer.weight_decay", "data.data_exponent")


def grid_job(width: int, device: str, tier: str = "full") -> Job:
    """The training of the grid's pack of this width, drawing included; it goes on from where its parameters are."""
    configs = pack_of(tier, width, device)
    module = SuperpositionModule(configs).to(device)
    module.on_fit_start()
    steps_in_all = configs[0].trainer.max_steps
    draws = FeatureDataModule(configs, [0, steps_in_all]).stream.draws
    done = 0

    def train(steps: int) -> None:
        nonlocal done
        for start in range(0, steps, _CHUNK):
            first = done if done + _CHUNK <= steps_in_all else 0  # the rates of the first steps once more
            done = first + min(_CHUNK, steps - start)
            module.train_chunk(Chunk(first, done, draws))
        if device == "cuda":
            torch.cuda.synchronize()

    return Job(train, float(len(configs)))


def whole_grid(rates: Mapping[int, float], tier: str = "full") -> dict[str, Any]:
    """Minutes of the grid's steps by the run-steps per second of its narrowest and its widest pack.

    A step's time is taken to grow evenly between the two.
    """
    narrowest, widest = min(rates), max(rates)
    members, max_steps = _members_and_steps(tier)
    seconds = {width: members / rate for width, rate in rates.items()}
    slope = (seconds[widest] - seconds[narrowest]) / (widest - narrowest)
    step = sum(seconds[narrowest] + slope * (width - narrowest) for width in widths(tier))
    return {"members": members, "widths": widths(tier), "max_steps": max_steps, "minutes": step * max_steps / 60}


@cache
def widths(tier: str = "full") -> list[int]:
    """Those of the grid, ascending."""
    return [int(value) for value in _swept(tier)["model.width"].split(",")]


@cache
def _members_and_steps(tier: str) -> tuple[int, int]:
    swept = _swept(tier)
    return prod(len(swept[key].split(",")) for key in _MEMBERS), _composed(f"tier={tier}").trainer.max_steps


def pack_of(tier: str, width: int, device: str) -> list[RunConfig]:
    """The members of the grid's pack of this width."""
    accelerator = "gpu" if device == "cuda" else "cpu"
    base = _composed(f"tier={tier}", f"model.width={width}", f"trainer.accelerator={accelerator}")
    configs, swept = [], _swept(tier)
    for values in product(*(swept[key].split(",") for key in _MEMBERS)):
        mapping = to_run_config(base).to_mapping()
        for key, value in zip(_MEMBERS, values, strict=True):
            section, name = key.split(".")
            mapping[section][name] = float(value)
        configs.append(RunConfig.from_mapping(mapping))
    return configs


def _composed(*overrides: str, hydra: bool = False) -> Any:
    register_with_hydra()
    asked = ["experiment=superposition_grid", "logger=none", *overrides]
    with initialize_config_dir(str(conf_path()), version_base="1.3"):
        return compose("config", asked, return_hydra_config=hydra)


def _swept(tier: str) -> dict[str, str]:
    return {key: str(value) for key, value in _composed(f"tier={tier}", hydra=True).hydra.sweeper.params.items()}
