"""Runs that start from a checkpoint of another: what must agree, checked before a launch, and the states themselves.

The source must be of the same kind of model with the same shapes and precision; data, loss, seed, schedule and what is
trained may differ. To go on with the optimizer's state, the rule and the trained parameters must be the same too.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from superdyn.config import ConfigError, RunConfig
from superdyn.runs.checkpoints import Checkpoint, checkpoint_steps, listed_as, load_checkpoint
from superdyn.runs.manifest import damage
from superdyn.runs.shards import files_by_step
from superdyn.runs.start import source_of

_FREE = (
    "model.name",
    "model.train_encoder",
    "model.encoder_init",
    "model.core_init_scale",
    "model.allow_overcomplete",
    "model.decoder.init_scale",
)
"""Keys of a model that its parameters can be loaded across: labels, initial values, and what is trained."""

_SHAPES = ("data.n_features", "trainer.precision")
_RULE = ("optimizer.name", "model.train_encoder")


def check_starts(configs: Iterable[RunConfig]) -> None:
    """Refuse starts that would not load.

    Raises:
        ConfigError: a source has no such checkpoint, a damaged one, or one of another model or optimizer.
    """
    sound = set()
    for config in configs:
        start = config.start
        if start.run is None:
            continue
        _check_agreement(config, source_of(config))
        if (start.run, start.step) not in sound:
            files = _files(config)
            damages = (damage(path.parents[1], listed_as(path)) for path in files)
            if (found := next((reason for reason in damages if reason is not None), None)) is not None:
                raise ConfigError(f"start.step={start.step}: the checkpoint in {start.run} is damaged ({found}).")
            sound.add((start.run, start.step))


def starting_states(configs: Sequence[RunConfig]) -> tuple[Checkpoint | None, ...]:
    """The checkpoint that each run starts from, None for its initial values; members of one source share it.

    Raises:
        ConfigError: as `check_starts`; a checkpoint cannot be read, or its run had diverged.
    """
    loaded: dict[tuple[str | None, int | None], Checkpoint] = {}
    for config in configs:
        start = config.start
        if start.run is not None and (start.run, start.step) not in loaded:
            loaded[start.run, start.step] = _loaded(config)
    return tuple(loaded.get((config.start.run, config.start.step)) for config in configs)


def _files(config: RunConfig) -> Sequence[Path]:
    """The files of the checkpoint, all parts of all layouts."""
    start = config.start
    directory = Path(start.run or "") / "checkpoints"
    steps = checkpoint_steps(directory)
    if start.step not in steps:
        allowed = ", ".join(map(str, steps)) or "none, it has no checkpoint"
        raise ConfigError(
            f"start.step={start.step}: {start.run} has no checkpoint of that step; allowed are {allowed} (train it "
            f"with trainer.checkpoint_schedule=public to keep more)."
        )
    return files_by_step(directory)[start.step]


def _loaded(config: RunConfig) -> Checkpoint:
    start = config.start
    assert start.run is not None
    assert start.step is not None
    _check_agreement(config, source_of(config))
    _files(config)
    checkpoint = load_checkpoint(Path(start.run) / "checkpoints", start.step, mapped=config.trainer.shards)
    if checkpoint is None:
        raise ConfigError(f"start.step={start.step}: the checkpoint in {start.run} cannot be read.")
    if int(checkpoint.state["engine/diverged_at"]) >= 0:
        raise ConfigError(f"start.step={start.step}: {start.run} had diverged by then; give an earlier step.")
    return checkpoint


def _check_agreement(config: RunConfig, source: RunConfig) -> None:
    ours, theirs = config.flat(), source.flat()
    model = sorted(key for key in {*ours, *theirs} if key.startswith("model.") and key not in _FREE)
    ours["model.encoder_init"], theirs["model.encoder_init"] = map(_encoder, (config, source))
    for key in (*model, *_SHAPES, "model.encoder_init"):
        if ours.get(key) != theirs.get(key):
            raise ConfigError(
                f"{key}={ours.get(key)}: start.run={config.start.run!r} was trained with {key}={theirs.get(key)}, and "
                f"a run starts from one of the same model, shapes and precision."
            )
    rule = [key for key in _RULE if ours[key] != theirs[key]]
    keeps_momentum = [bool(each.optimizer.momentum) for each in (config, source)]
    if config.optimizer.name in ("sgd", "normalized") and len(set(keeps_momentum)) > 1:
        rule.append("optimizer.momentum")
    if config.start.optimizer and rule:
        raise ConfigError(
            f"start.optimizer=True: the optimizer's state goes on for the same rule and trained parameters only, and "
            f"start.run={config.start.run!r} was trained with {rule[0]}={theirs[rule[0]]}, not {ours[rule[0]]}; use "
            f"start.optimizer=false."
        )


def _encoder(config: RunConfig) -> str:
    """A frozen identity is no tensor; any other embedding is one, however it began."""
    model = config.model
    return "identity" if model.encoder_init == "identity" and not model.train_encoder else "an embedding"
