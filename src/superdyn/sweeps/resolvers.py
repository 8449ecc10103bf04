"""OmegaConf resolvers that the configuration files use.

`${by_tier:smoke,mini,full}` picks by the `tier` key, `${half:n}` is ⌊n/2⌋, `${share:0.75,n}` ⌊0.75 n⌋,
`${run_folder:}` names a single run.
`${dial:width}`, `${dial:lr}` and `${dial:batch_size}` are what the dial of a language model derives, `${loss_of:}` is
the usual loss of the data.
"""

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from superdyn.config import ConfigError, RunConfig
from superdyn.config.decoder import DecoderSettings
from superdyn.config.width import whole_width
from superdyn.runs.start import with_start
from superdyn.runs.sweep_folder import run_folder_name
from superdyn.sweeps.composer import without_hydra

TIERS = ("smoke", "mini", "full")
_DERIVED = {"width": "model.width", "lr": "optimizer.lr", "batch_size": "data.batch_size"}
"""The key that each quantity of the dial is for."""


def register_resolvers() -> None:
    """Make the resolvers known; calling it again changes nothing."""
    resolvers = {"by_tier": _by_tier, "share": _share, "run_folder": _run_folder, "dial": _dial, "loss_of": _loss_of}
    resolvers["half"] = lambda count: _share(0.5, count)
    for name, resolver in resolvers.items():
        OmegaConf.register_new_resolver(name, resolver, replace=True)


def to_run_config(config: DictConfig | Mapping[str, Any]) -> RunConfig:
    """The typed configuration in a composed or already resolved one, Hydra's own node left out, `start` filled in.

    Raises:
        ConfigError: one sentence about the first key that is wrong.
    """
    mapping = OmegaConf.to_container(without_hydra(config), resolve=True) if isinstance(config, DictConfig) else config
    assert isinstance(mapping, Mapping)
    return with_start(
        RunConfig.from_mapping({str(key): value for key, value in mapping.items() if key != "experiment"})
    )


def _by_tier(smoke: Any, mini: Any, full: Any, *, _root_: DictConfig) -> Any:
    tier = _root_.tier
    if tier not in TIERS:
        raise ConfigError(f"tier={tier!r}: must be one of {', '.join(TIERS)}.")
    return (smoke, mini, full)[TIERS.index(tier)]


def _share(share: float | int, count: Any) -> Any:
    # A count that is not an integer is left for the schema to refuse under its own key.
    return max(int(share * count), 1) if isinstance(count, int) else count


def _dial(quantity: str, *, _root_: DictConfig) -> Any:
    found = OmegaConf.select(_root_, "model.decoder")
    if found is None:
        raise ConfigError(
            f"model.decoder=null: {_DERIVED[quantity]} is derived from model.decoder.size, which this model lacks; use "
            f"model=language_model, or give {_DERIVED[quantity]} a number."
        )
    length = OmegaConf.select(_root_, "data.length")
    if not isinstance(length, int) or length < 1:
        return 1  # left for the schema to refuse under its own key, which the context of the model is taken from
    settings = DecoderSettings.from_mapping(OmegaConf.to_container(found, resolve=True))  # pyright: ignore[reportArgumentType]
    if quantity == "width":
        return settings.shape(tied=_root_.model.tied).width
    width = whole_width(_root_.model.width, OmegaConf.select(_root_, "data.n_features"))
    shape = settings.shape(width=width, tied=_root_.model.tied)
    return {"lr": shape.learning_rate, "batch_size": shape.batch_sequences}[quantity]


def _loss_of(*, _root_: DictConfig) -> str:
    return "cross_entropy" if OmegaConf.select(_root_, "data.kind") == "tokens" else "sampled"


def _run_folder(*, _root_: DictConfig) -> str:
    return run_folder_name({}, to_run_config(_root_).signature())
