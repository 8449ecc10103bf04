"""Measures the revisions of a model one after the other and leaves a run folder.

One checkpoint is in memory at a time. A revision that is stored with the same settings is not measured again; one that
is missing or damaged is reported, and tried again when the command is repeated. A lock keeps a second process out.
"""

import gc
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import torch
from filelock import FileLock, Timeout

from superdyn.analysis import run_result
from superdyn.config.validation import one_sentence
from superdyn.evaluate.checkpoint import DTYPES, load_model, read_config, shape_of
from superdyn.evaluate.embeddings import embedding_measures
from superdyn.evaluate.memory import weight_files
from superdyn.evaluate.plan import Plan, make_plan
from superdyn.evaluate.revisions import Revision
from superdyn.evaluate.settings import Settings
from superdyn.evaluate.source import CheckpointError, Location
from superdyn.evaluate.store import Facts, Tables, read_revision, write_revision
from superdyn.evaluate.token_loss import TokenLoss, token_loss
from superdyn.evaluate.wandb_view import show_in_wandb
from superdyn.runs.faults import fault_of
from superdyn.runs.folder import RunFolder
from superdyn.runs.status import STALE_AFTER_SECONDS, State, Status

LOCK = ".lock"
_HEARTBEAT_SECONDS = STALE_AFTER_SECONDS / 10

Say = Callable[[str], None]


@dataclass
class Outcome:
    """What became of the revisions: newly measured, stored before, and why others are not there."""

    measured: list[str] = field(default_factory=list)
    stored: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0 when all revisions are measured."""
        return int(bool(self.failed))


def evaluate(settings: Settings, say: Say = print) -> Outcome:
    """Measure what is not measured yet.

    Raises:
        ValueError: a setting, the tokens or the folder do not fit, no revision can be opened, or memory ran out.
    """
    plan = make_plan(settings)
    folder = RunFolder(settings.out)
    _check_folder(folder, plan)
    settings.out.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(settings.out / LOCK, timeout=0):
            folder.prepare(plan.config, plan.signature)
            return _Evaluation(plan, folder, say).run()
    except Timeout:
        raise ValueError(f"OUT={settings.out}: another process evaluates into this folder.") from None


class _Evaluation:
    """The state of one call of `evaluate`."""

    def __init__(self, plan: Plan, folder: RunFolder, say: Say):
        self.plan, self.folder, self.say = plan, folder, say
        self.outcome = Outcome()
        self.tables = Tables(folder, plan.bins, plan.lr_times)
        self.step = 0
        self._next_heartbeat = 0.0

    def run(self) -> Outcome:
        """All revisions by ascending step, then the fit."""
        self.say(self._opening())
        try:
            for revision in self.plan.revisions:
                self._one(revision)
                if self.outcome.failed and self.plan.settings.fail_fast:
                    break
            self._close()
        except BaseException as error:
            with suppress(OSError):
                self._write_status("interrupted", one_sentence(error) if isinstance(error, Exception) else None)
            if fault_of(error) == "memory":
                raise ValueError(
                    f"--memory-gib: out of memory at step {self.step} ({one_sentence(error)}); use a smaller "
                    "--batch or --context."
                ) from None
            raise
        return self.outcome

    def _one(self, revision: Revision) -> None:
        before = read_revision(self.folder, revision.name, self.plan.signature, self.plan.shape.vocabulary_size)
        self.step = revision.step
        if before is not None:
            self.outcome.stored.append(revision.name)
            self.tables.add(revision.step, before.facts, before.losses)
            return
        self._write_status("running")
        try:
            facts, losses = self._measure(revision)
        except CheckpointError as error:
            self.outcome.failed[revision.name] = str(error)
            self.say(f"{error}.")
            return
        write_revision(self.folder, facts, losses)
        self.tables.add(revision.step, facts, losses)
        self.tables.write()
        self.outcome.measured.append(revision.name)
        self.say(f"{revision.name}: step {revision.step}, loss {facts.loss:.4f} nats per token, {facts.seconds:.1f} s")

    def _measure(self, revision: Revision) -> tuple[Facts, TokenLoss]:
        settings, size = self.plan.settings, self.plan.shape.vocabulary_size
        start = time.monotonic()
        with self.plan.source.open(revision.name) as location:
            found = shape_of(read_config(location, revision.name), revision.name).vocabulary_size
            if found != size:
                raise CheckpointError(f"revision {revision.name}: has a vocabulary of {found}, the others of {size}")
            _check_files(location, revision)
            model = load_model(location, revision.name, DTYPES[settings.dtype], torch.device(settings.device))
            try:
                losses = token_loss(model, self.plan.tokens, size, self._heartbeat)
                measures = embedding_measures(model)
            except ValueError as error:
                raise CheckpointError(f"revision {revision.name}: {error}") from None
            finally:
                del model
                gc.collect()  # before the next one is loaded
        seconds = time.monotonic() - start
        return Facts(revision.name, revision.step, self.plan.signature, losses.mean, seconds, measures), losses

    def _close(self) -> None:
        self.tables.write()
        problems = "; ".join(self.outcome.failed.values()) or None
        if not len(self.tables) or (self.outcome.failed and self.plan.settings.fail_fast):
            self._write_status("failed", problems)
            return
        self.folder.write_result(run_result(self.folder.path) | {"not_measured": self.outcome.failed})
        self._write_status("done", problems)
        if self.plan.settings.wandb is not None:
            show_in_wandb(self.folder, self.plan.settings.wandb)

    def _heartbeat(self) -> None:
        if time.monotonic() >= self._next_heartbeat:
            self._write_status("running")

    def _write_status(self, state: State, error: str | None = None) -> None:
        last = self.plan.revisions[-1].step
        self.folder.write_status(Status(state, self.step, last, self.plan.signature, self.folder.name, error))
        self._next_heartbeat = time.monotonic() + _HEARTBEAT_SECONDS

    def _opening(self) -> str:
        plan = self.plan
        return (
            f"{len(plan.revisions)} revisions of {plan.settings.model}, steps {plan.revisions[0].step} to "
            f"{plan.revisions[-1].step}, on {plan.tokens.n_targets:,} tokens in windows of {plan.tokens.context}"
        )


def _check_files(location: Location, revision: Revision) -> None:
    """Refuse a damaged index, which the libraries report by the name of a key only."""
    try:
        if location.folder is not None:
            weight_files(location.folder)
    except ValueError as error:
        raise CheckpointError(f"revision {revision.name}: {error}") from None


def _check_folder(folder: RunFolder, plan: Plan) -> None:
    """A folder of another evaluation, or of a training, is left alone."""
    config = folder.config()
    if config is None:
        return
    if config.get("kind") != "evaluation":
        raise ValueError(f"OUT={folder.path}: holds a run that is not an evaluation; choose another folder.")
    before = config["evaluation"]
    for key, value in sorted(plan.identity.items(), key=lambda item: item[0] == "tokens"):  # they differ with the rest
        if before.get(key) != value:
            differs = f"with {key}={before.get(key)}, not {value}"
            if key == "windows":
                differs = f"on {before.get(key)} windows of tokens, and this --max-tokens gives {value}"
            elif key == "tokens":  # a digest, which says nothing to a reader
                differs = f"on other tokens than those of --tokens={','.join(map(str, plan.settings.tokens))}"
            raise ValueError(
                f"OUT={folder.path}: holds an evaluation {differs}; choose another folder or the settings it "
                "was started with."
            )
