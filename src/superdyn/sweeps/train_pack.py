"""Trains one pack through Lightning's Trainer and leaves every member's files behind.

Of several ranks the first decides what is trained and hands it, checkpoints included, to those that follow; of sharded
parameters each rank reads its own shards.
"""

import gc
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.exceptions import SIGTERMException

from superdyn.analysis import run_result, running_exponent
from superdyn.features.datamodule import FeatureDataModule
from superdyn.models.product import matmul_operands
from superdyn.runs.faults import SweepStoppedError, fault_of
from superdyn.runs.files_callback import RunFiles
from superdyn.runs.folder import RunFolder
from superdyn.runs.progress import Progress
from superdyn.runs.status import Status
from superdyn.runs.wandb_callback import WandbRuns
from superdyn.sweeps.exit_codes import TERMINATED
from superdyn.sweeps.launch import write_failed
from superdyn.sweeps.packing import Pack
from superdyn.sweeps.ranks.strategies import lightning_placement
from superdyn.sweeps.starting import starting_states
from superdyn.training.data_parallel import RankLost, Ranks
from superdyn.training.module import SuperpositionModule
from superdyn.training.threads import cpu_threads, keep_freed_memory


def train_pack(pack: Pack, group: str, progress: Progress) -> None:
    """Train the members of `pack` to the end; what went wrong with a member is in its `status.json`.

    Raises:
        KeyboardInterrupt: the user stopped; every member can be resumed.
        SystemExit: code 143, on SIGTERM; every member can be resumed.
        Exception: whatever stopped the pack as a whole, after its members were marked failed.
    """
    configs = [point.config for point in pack.points]
    folders = [point.folder for point in pack.points]
    if pack.start_step >= configs[0].trainer.max_steps:
        _finish(pack)
        return
    callbacks: list[pl.Callback] = [RunFiles(folders, on_done=_write_result), progress]
    if configs[0].logger.name == "wandb":  # after the run files, whose states it reports
        callbacks.append(WandbRuns(folders, configs, group=group, fit=running_exponent))
    if not pack.resumed:
        pack = replace(pack, starts=starting_states(configs))
    Ranks.current().from_first(pack)
    _train(pack, callbacks)


def follow_packs() -> None:
    """Train what the first rank trains, until `dismiss_followers`.

    Raises:
        KeyboardInterrupt, SystemExit, Exception: as `train_pack`.
    """
    ranks = Ranks.current()
    nothing_yet: Pack | None = None
    while (pack := ranks.from_first(nothing_yet)) is not None:
        try:
            _train(pack, [RunFiles([])])
        except Exception as error:
            fault = fault_of(error)
            if fault == "storage":
                raise SweepStoppedError(f"rank {ranks.rank} cannot write ({error})") from error
            # Written while the first rank still waits for this one, so that it finds out why this one is gone.
            if fault in ("run", "memory"):
                with suppress(OSError):
                    write_failed(pack.points, f"{type(error).__name__} on rank {ranks.rank}: {error}")
            raise


def dismiss_followers() -> None:
    """Tell the other ranks that nothing is left to train."""
    Ranks.current().from_first(None)


def _train(pack: Pack, callbacks: list[pl.Callback]) -> None:
    configs = [point.config for point in pack.points]
    trainer_config, ranks = configs[0].trainer, Ranks.current()
    keep_freed_memory(not trainer_config.checkpoint_activations, sharded=trainer_config.shards)
    if configs[0].data.kind == "tokens" or torch.cuda.is_available():
        gc.collect()  # the pack before, whose modules and Trainer refer to each other, and its memory on the device
    module = SuperpositionModule(configs)
    if pack.resumed:
        module.load_member_states([checkpoint.state for checkpoint in pack.resumed], pack.start_step)
    module.start_members_from([None if start is None else start.state for start in pack.starts])
    data = FeatureDataModule(configs, module.boundaries, pack.start_step, ranks.rank, ranks.size)
    operands = matmul_operands(trainer_config.matmul)
    with _quiet_lightning(), _deterministic_mode_ends(), cpu_threads(configs), operands:
        trainer = pl.Trainer(
            **lightning_placement(trainer_config),
            deterministic=trainer_config.deterministic,
            max_epochs=1,
            callbacks=callbacks,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
        )
        _fit(trainer, module, data)


def _fit(trainer: pl.Trainer, module: SuperpositionModule, data: FeatureDataModule) -> None:
    """Lightning's fit, with exits that a shell and a scheduler understand."""
    try:
        trainer.fit(module, datamodule=data)
    except SIGTERMException:
        raise SystemExit(TERMINATED) from None
    except RankLost:
        raise
    except SystemExit:  # how Lightning ends after Ctrl-C
        raise KeyboardInterrupt from None


def _finish(pack: Pack) -> None:
    """Close runs that were killed after their last step and before their state said so."""
    for point, checkpoint in zip(pack.points, pack.resumed, strict=True):
        _write_result(point.folder)
        point.folder.write_status(Status("done", checkpoint.step, checkpoint.step, point.signature, point.folder.name))


def _write_result(folder: RunFolder) -> None:
    try:
        folder.write_result(run_result(folder.path))
    except Exception as error:  # the run itself is whole, and can be fitted again
        warnings.warn(
            f"{folder.path}: no fit ({error}); the curve is complete: superdyn fit {folder.path}",
            stacklevel=1,
        )


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Keep Lightning's device banner and its advice on data loaders out of a sweep's output."""
    logger = logging.getLogger("pytorch_lightning")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # The loader draws in this process on purpose: draws cost microseconds and stay in order.
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            warnings.filterwarnings("ignore", message=".*treespec, LeafSpec.*")
            warnings.filterwarnings("ignore", message=".*GPU available but not used.*")
            warnings.filterwarnings("ignore", message=".*`srun` command is available.*")
            # Whether products are rounded is `trainer.matmul`, for the user to say.
            warnings.filterwarnings("ignore", message="TensorFloat32 tensor cores")
            yield
    finally:
        logger.setLevel(before)


@contextmanager
def _deterministic_mode_ends() -> Iterator[None]:
    """Put back what the Trainer sets for the whole process."""
    before = torch.are_deterministic_algorithms_enabled()
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
