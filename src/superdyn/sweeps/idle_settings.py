"""Settings that are allowed and change nothing: refused where a launch asks for one that none of its runs reads, else
remarked on, one warning for each.

A configuration does not say who set a value. What a launch's overrides set and none of its runs reads is refused. In a
sweep over several choices, some of which read it, it trains, with a remark if runs differ in nothing else. What files
set is remarked on, since a file may serve several choices. Configurations that say so are possible all the same, so
that runs of an older version can be read and resumed. Which choice reads which setting: `config/readers.py`.
"""

import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from superdyn.config import ConfigError, RunConfig, TrainerConfig
from superdyn.config.identity import counts, is_under
from superdyn.config.readers import ONLY_COMPARED, ONLY_REMARKED, Unread, keys_not_read, unread_settings
from superdyn.sweeps.points import Point


def refuse_idle_settings(waiting: Sequence[Point], points: Sequence[Point]) -> None:
    """Refuse a setting that the overrides of a launch change and that none of its runs reads.

    Args:
        waiting: the points that are to be trained.
        points: all of the launch.

    Raises:
        ConfigError: naming the setting, its value, and the choice with which it is read.
    """
    for unread, asked in _unread_by_all(waiting, points):
        if asked and unread.key not in ONLY_REMARKED:
            raise ConfigError(f"{unread}.")


def warn_of_idle_settings(waiting: Sequence[Point], points: Sequence[Point]) -> None:
    """Warn of each setting that has no effect on the runs of a launch that are about to be trained.

    Args:
        waiting: the points that are to be trained.
        points: all of the launch.
    """
    found = [remark for point in waiting for remark in _remarks(point.config)]
    unread_by_all = _unread_by_all(waiting, points)
    found += [str(unread) for unread, asked in unread_by_all if asked or unread.key not in ONLY_REMARKED]
    found += _alike(waiting, points)
    for remark in dict.fromkeys(found):
        warnings.warn(remark, stacklevel=2)


def _unread_by_all(waiting: Sequence[Point], points: Sequence[Point]) -> list[tuple[Unread, bool]]:
    """Changed settings of waiting runs that no run of the launch reads, and whether the launch's overrides set them."""
    found = [(unread, point.overrides) for point in waiting for unread in unread_settings(point.config)]
    if not found:
        return []
    never = set.intersection(*(set(keys_not_read(point.config)) for point in points))
    never -= set(ONLY_COMPARED)
    return [(unread, _set_in(overrides, unread.key)) for unread, overrides in found if unread.key in never]


def _set_in(overrides: Iterable[str], key: str) -> bool:
    names = (override.partition("=")[0].lstrip("+~") for override in overrides)
    return any(is_under(name, (key,)) for name in names)


def _alike(waiting: Sequence[Point], points: Sequence[Point]) -> list[str]:
    """A remark for each set of settings in which alone some runs differ that do not read them."""
    if not any(unread_settings(point.config) for point in points):
        return []
    groups: dict[str, list[RunConfig]] = defaultdict(list)
    for config in (point.config for point in points):
        unread = tuple(keys_not_read(config))
        read = {k: v for k, v in config.flat().items() if counts(k, v) and not is_under(k, unread)}
        groups[repr(sorted(read.items()))].append(config)
    new = {point.signature for point in waiting}
    runs: Counter[str] = Counter()
    for group in groups.values():
        if len(group) > 1 and any(config.signature() in new for config in group):
            runs[_difference(group)] += len(group)
    number_of = f"of {len(points)} runs differ from another in nothing else and train alike"
    return [f"{words}: {number} {number_of}" for words, number in runs.items()]


def _difference(alike: Sequence[RunConfig]) -> str:
    """In what runs differ that read the same, and what decides that it is not read."""
    contents = [config.flat() for config in alike]
    deciding = keys_not_read(alike[0])
    differs = {key for content in contents for key, value in content.items() if contents[0].get(key) != value}
    keys = [key for key in deciding if any(is_under(name, (key,)) for name in differs)]
    choices = dict.fromkeys(f"{deciding[key]}={contents[0][deciding[key]]}" for key in keys)
    return f"{', '.join(keys)}, not read with {', '.join(choices)}"


def _remarks(config: RunConfig) -> list[str]:
    """Remarks that depend on the place of training."""
    trainer, remarks = config.trainer, []
    if trainer.matmul != "float32" and _on_cpu(trainer, here=config.launcher.trains_here):
        remarks.append(
            f"trainer.matmul={trainer.matmul}: a CPU multiplies rounded operands no faster; they are rounded all the "
            f"same, as a GPU would, so that the effect on the loss can be seen"
        )
    if trainer.strategy != "single" and trainer.n_ranks == 1:
        remarks.append(
            f"trainer.strategy={trainer.strategy}: shares a run between devices, and with trainer.devices=1 it trains "
            f"as trainer.strategy=single does"
        )
    return remarks


def _on_cpu(trainer: TrainerConfig, *, here: bool) -> bool:
    """Whether the run trains on a CPU, as far as can be told: what a cluster's `auto` will find is not known."""
    if trainer.accelerator != "auto":
        return trainer.accelerator == "cpu"
    import torch  # for which a sweep that is done need not wait

    return here and not torch.cuda.is_available()
