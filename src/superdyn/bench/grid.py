"""How long a step of the grid of 540 autoencoders takes: packs of all weight decays and exponents, drawing included.

The grid (`conf/experiment/superposition_grid.yaml`, full tier) is one such pack a width. Measured at its narrowest and
widest; a step's time grows about evenly between them.
"""

import gc
import time
from itertools import product
from statistics import median
from typing import Any

import torch
from hydra import compose, initialize_config_dir

from superdyn.bench.together import spread
from superdyn.conf_path import conf_path
from superdyn.config import RunConfig
from superdyn.features.datamodule import Chunk, FeatureDataModule
from superdyn.hydra_app import register_with_hydra
from superdyn.sweeps.resolvers import to_run_config
from superdyn.training.module import SuperpositionModule

_MEMBERS = ("optimizer.weight_decay", "data.data_exponent")


def grid_steps(device: str, tier: str = "full", steps: int = 128, repetitions: int = 5) -> dict[str, Any]:
    """Milliseconds of a step at either end of the widths, and by these the minutes of the grid's steps."""
    widths = [int(value) for value in _swept(tier)["model.width"].split(",")]
    rows, spans = [], []
    for width in (widths[0], widths[-1]):
        configs = pack_of(tier, width, device)
        found = _step_seconds(configs, device, steps, repetitions)
        rows.append({"width": width, "members": len(configs), "ms": spread([1e3 * seconds for seconds in found])})
        spans.append(median(found))
    slope = (spans[1] - spans[0]) / (widths[-1] - widths[0])
    seconds = sum(spans[0] + slope * (width - widths[0]) for width in widths)
    max_steps = configs[0].trainer.max_steps
    return {"rows": rows, "widths": widths, "max_steps": max_steps, "minutes": seconds * max_steps / 60}


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


def _step_seconds(configs: list[RunConfig], device: str, steps: int, repetitions: int) -> list[float]:
    gc.collect()
    module = SuperpositionModule(configs).to(device)
    module.on_fit_start()
    draws = FeatureDataModule(configs, [0, configs[0].trainer.max_steps]).stream.draws
    found = []
    for turn in range(repetitions + 1):
        start = time.perf_counter()
        module.train_chunk(Chunk(turn * steps, (turn + 1) * steps, draws))
        if device == "cuda":
            torch.cuda.synchronize()
        found.append((time.perf_counter() - start) / steps)
    return found[1:]
