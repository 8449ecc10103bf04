"""How fast the grid of 540 autoencoders trains: packs of all weight decays and exponents, drawing included.

The grid (`conf/experiment/superposition_grid.yaml`, full tier) is one such pack a width. Measured at its narrowest and
widest; a step's time grows about evenly between them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import product
from math import prod
from typing import Any

from hydra import compose, initialize_config_dir

from superdyn.conf_path import conf_path
from superdyn.config import RunConfig
from superdyn.hydra_app import register_with_hydra
from superdyn.sweeps.resolvers import to_run_config

_MEMBERS = ("optimizer.weight_decay", "data.data_exponent")


@dataclass(frozen=True)
class GridWorkload:
    """The grid's pack of one width, for `rivals/pack.py`."""

    width: int
    tier: str = "full"

    @property
    def runs(self) -> int:
        """Members of the pack."""
        return _members_and_steps(self.tier)[0]

    def config(self, run: int, steps: int = 1, device: str = "cpu") -> RunConfig:
        """Of one member that trains so many steps."""
        config = pack_of(self.tier, self.width, device)[run]
        return config.model_copy(update={"trainer": config.trainer.model_copy(update={"max_steps": steps})})


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


@cache
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
