"""Remarks on settings that are allowed and change nothing where a launch trains, one warning for each.

What could not be meant at all is refused with the configuration (`config/rules.py`); these serve elsewhere, such as on
the GPUs that the same command will find.
"""

import warnings
from collections.abc import Iterable

from superdyn.config import RunConfig, TrainerConfig


def warn_of_idle_settings(configs: Iterable[RunConfig]) -> None:
    """Warn of each setting that has no effect on these runs, which are about to be trained."""
    found = [remark for config in configs for remark in _remarks(config)]
    for remark in dict.fromkeys(found):
        warnings.warn(remark, stacklevel=2)


def _remarks(config: RunConfig) -> list[str]:
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
    data, optimizer = config.data, config.optimizer
    if data.reads_files and data.data_exponent != 1.0:
        remarks.append(
            f"data.data_exponent={data.data_exponent}: is of synthetic languages; token files have their own "
            f"frequencies, and the run trains as with the default"
        )
    if optimizer.final_fraction and optimizer.schedule not in ("cosine", "wsd"):
        remarks.append(
            f"optimizer.final_fraction={optimizer.final_fraction}: is where cosine and wsd end; with "
            f"optimizer.schedule={optimizer.schedule} it changes nothing"
        )
    return remarks


def _on_cpu(trainer: TrainerConfig, *, here: bool) -> bool:
    """Whether the run trains on a CPU, as far as can be told: what a cluster's `auto` will find is not known."""
    if trainer.accelerator != "auto":
        return trainer.accelerator == "cpu"
    import torch  # for which a sweep that is done need not wait

    return here and not torch.cuda.is_available()
