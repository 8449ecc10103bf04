"""Optimizer steps of a whole pack on the device, on a GPU without a word to the host between two measurements.

Each step: gradients of every member, a health check, one stacked update. A member whose loss is not finite gets
learning rate zero from that step on: its parameters stay what they were, and since no operation mixes members the
others never notice. Where parameters are sharded, each rank updates and saves its own shards, and all look at the loss
of the global batch, so that they take the same way. Axis legend: `r` run, `n` feature, `t` step.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh

from superdyn.config import RunConfig
from superdyn.features.batches import SparseBatch
from superdyn.features.datamodule import Chunk
from superdyn.features.device_draws import DevicePoints
from superdyn.features.tokens.batch import TokenBatch
from superdyn.models.decoder.groups import parameter_groups
from superdyn.models.decoder.language_model import LanguageModel
from superdyn.models.measure_names import OFF_DIAGONAL_ENERGY
from superdyn.models.measures import superposition_measures
from superdyn.models.protocol import DTYPES, EmbeddingStudent, build_student, is_linear
from superdyn.models.student import Student
from superdyn.training.chunk_batches import Batches, ChunkBatches
from superdyn.training.data_parallel import Ranks, lost_ranks
from superdyn.training.evaluation import Evaluation
from superdyn.training.fully_sharded import keep_in, release, shard
from superdyn.training.gradient_norm import GradientWatch
from superdyn.training.graph import BatchBuffer, CapturedStep, StepBuffer, buffer_of
from superdyn.training.objective import Objective
from superdyn.training.optimizers import make_optimizer
from superdyn.training.optimizers.protocol import StackedOptimizer
from superdyn.training.own_measures import OwnMeasures
from superdyn.training.schedules import learning_rates
from superdyn.training.sharding import UNSHARDED, Place, load_in_place, local
from superdyn.training.token_evaluation import TokenEvaluation
from superdyn.training.token_objective import TokenObjective

_LARGEST = torch.finfo(torch.float32).max
"""Spectra are stored in float32, so a loss beyond its range is as good as infinite."""


class Engine(nn.Module):
    """The stacked students of a pack, what they minimise and how they are measured.

    Attributes:
        diverged_at: (r,) the first step at which a member's loss was not finite, −1 while it is alive.
        sharding: how the parameters lie on the ranks.
    """

    diverged_at: Int[Tensor, "r"]
    rates: Float[Tensor, "t r"]
    optimizer: StackedOptimizer

    def __init__(self, configs: Sequence[RunConfig]):
        super().__init__()
        self.configs = list(configs)
        self.ranks = Ranks.current()
        self.sharding = UNSHARDED
        self.student = build_student(configs)
        self.objective: Any
        self.evaluation: Any
        if configs[0].data.kind == "tokens":
            self.objective = TokenObjective(configs)
            self.evaluation = TokenEvaluation(configs, self.objective)
        else:
            self.objective = Objective(configs)
            self.evaluation = Evaluation(configs, linear=is_linear(self.student, configs[0]))
        trainer = configs[0].trainer
        rates = torch.empty(trainer.max_steps, len(configs), dtype=DTYPES[trainer.precision])
        for r, config in enumerate(configs):
            rates[:, r] = torch.from_numpy(learning_rates(config.optimizer, trainer.max_steps))
        self.register_buffer("rates", rates, persistent=False)
        self.register_buffer("diverged_at", torch.full((len(configs),), -1, dtype=torch.int64))
        self._chunk_batches = ChunkBatches(self.configs)
        self._watch = GradientWatch(configs[0].optimizer.clip_norm, records=configs[0].data.kind == "tokens")
        self.own_measures = OwnMeasures(configs[0].trainer.measures)
        self._all_alive = True
        self._captured: CapturedStep | None = None
        self._buffer: StepBuffer | None = None
        self._kept_measures: tuple[Tensor, dict[str, Tensor]] | None = None
        """An embedding that is no trained parameter, and its measures."""

    def shard(self, mesh: DeviceMesh) -> None:
        """Keep this rank's shards of the parameters only, before anything is computed with them."""
        assert isinstance(self.student, LanguageModel), "checked with the configuration"
        self.sharding = shard(self.student, mesh, self.ranks)
        self.objective.sharded = True

    def prepare(self) -> None:
        """Make the optimizer, once the student is on its device."""
        trained = {n: local(p) for n, p in self.student.named_parameters() if p.requires_grad}
        self._untrained: dict[str, Tensor] = getattr(self.student, "untrained", {})
        groups = parameter_groups(trained.items()) if self.configs[0].model.decoder is not None else None
        optimizers = [config.optimizer for config in self.configs]
        fused = isinstance(self.student, LanguageModel)
        self.optimizer = make_optimizer(trained, optimizers, self._untrained, groups, self.sharding, fused=fused)
        if self.sharding.dims:
            keep_in(self.student, trained)
        if self.rates.is_cuda and self.configs[0].trainer.compile:
            # torch keeps eight compiled forms of a function and then quietly stops; earlier packs need theirs no more.
            torch.compiler.reset()
            if isinstance(self.student, LanguageModel):
                self.student.compile_parts()
                if self.student.blocks.fit_one_graph and not self.sharding.dims:
                    self.student.compile_whole()

    def agree(self) -> None:
        """Give all ranks the first one's state, from which they take the same steps."""
        if self.sharding.dims:  # of every entry there is one
            shards = {id(tensor) for tensor in self.optimizer.entries()}
            self.ranks.copy_first(buffer for buffer in self.buffers() if id(buffer) not in shards)
            return
        fixed = (p for p in self.student.parameters() if not p.requires_grad)
        self.ranks.copy_first([*self.optimizer.everything(), *self.buffers(), *fixed])

    def train_chunk(self, chunk: Chunk) -> None:
        """Train the steps of a chunk."""
        for first, n_steps, batches in self._chunk_batches.parts(chunk, self.rates.device):
            self.run(first, n_steps, batches)

    def run(self, first_step: int, n_steps: int, batches: Batches | None) -> None:
        """Train steps `first_step` … `first_step + n_steps − 1`; `batches` is None for exact gradients."""
        if n_steps == 0:
            return
        if self.rates.is_cuda and (batches is None or isinstance(batches, DevicePoints)):  # never with several ranks
            self._replay(first_step, n_steps, batches)
            return
        if self.rates.is_cuda and self.ranks.is_alone and BatchBuffer.holds(batches):
            for i in range(n_steps):
                self._replay(first_step + i, 1, batches.step(i))
            return
        for i in range(n_steps):
            batch = None if batches is None or isinstance(batches, DevicePoints) else batches.step(i)
            self.run_step(first_step + i, batch, last=i == n_steps - 1)

    def run_step(self, step: int, batch: SparseBatch | TokenBatch | None, *, last: bool = False) -> None:
        """Train step `step` on its batch, or on the exact risk; `last`: a measurement may follow."""
        with lost_ranks():
            found = self.objective.gradients(self.student, batch)
        found = loss, gradients = self.ranks.mean(found, sharded=bool(self.sharding.dims))
        self._watch.look(found, self.sharding, last=last)
        rates = self.rates[step]
        # On the CPU looking is free; what is not a number is not at most the largest either.
        if loss.is_cpu and self._all_alive and loss.abs().max().item() <= _LARGEST:
            self.optimizer.update(gradients, rates, masked=False)
        else:
            alive = self.check_health(loss, step)
            self._all_alive = alive.is_cpu and bool(alive.all())
            self.optimizer.update(gradients, rates * alive)

    def _replay(self, first_step: int, n_steps: int, data: DevicePoints | SparseBatch | None) -> None:
        """The same steps from a CUDA graph, captured at the first call; one step where data are one batch."""
        if self._captured is None:
            self._counter = torch.zeros(1, dtype=torch.int64, device=self.rates.device)
            self._counter.fill_(first_step)
            changed = [*self.optimizer.everything(), self._counter, self.diverged_at]
            if data is not None:
                shape = (len(self.configs), self.configs[0].data.samples_per_step, self.configs[0].data.n_features)
                self._buffer = buffer_of(data, shape)
                self._buffer.refill(data)
                changed += self._buffer.state
            step = self._device_step
            if self.configs[0].trainer.compile:
                self.objective.settle(self.student, exact=data is None)
                step = torch.compile(step, dynamic=False)
            self._captured = CapturedStep(step, changed)
        if self._buffer is not None and data is not None:
            self._buffer.refill(data)
        self._counter.fill_(first_step)
        self._captured.replay(n_steps)

    def _device_step(self) -> None:
        """One step with the counter, the rates and the batch as tensors on the device."""
        batch = None if self._buffer is None else self._buffer.batch()
        parameters = self.optimizer.layout.views(self.optimizer.flat)
        found = loss, gradients = self.objective.gradients_at(parameters, self.student, batch)
        self._watch.look(found, self.sharding, last=False)
        alive = self.check_health(loss, self._counter)
        self.optimizer.update(gradients, self.rates.index_select(0, self._counter)[0] * alive)
        self._counter += 1

    def check_health(self, loss: Float[Tensor, "r"], step: int | Int[Tensor, "1"]) -> Bool[Tensor, "r"]:
        """Which members are alive; one whose loss is not a number of float32's range has diverged at `step`."""
        sound = loss.abs() <= _LARGEST
        just_now = ~sound & (self.diverged_at < 0)
        self.diverged_at.copy_(torch.where(just_now, step, self.diverged_at))
        return self.diverged_at < 0

    def measure(self, step: int) -> tuple[Float[Tensor, "r n"], dict[str, Float[Tensor, "r ..."]]]:
        """ℓ_i (float64), the superposition measures and the user's own of every member now.

        A member whose loss is beyond float32's range has diverged at `step`.
        """
        with lost_ranks():
            feature_loss = self.evaluation.feature_loss(self.student, self.objective.population)
        release(self.student)
        alive = self.check_health(feature_loss.sum(dim=1), step)
        self._all_alive = alive.is_cpu and bool(alive.all())
        measures = self._superposition(self.student) if isinstance(self.student, EmbeddingStudent) else {}
        if isinstance(self.student, Student):
            measures = measures | {OFF_DIAGONAL_ENERGY: self.student.off_diagonal_energy().detach()}
        measures = measures | self.evaluation.references | self._watch.recorded(feature_loss)
        own = self.own_measures(self.student, self.configs, tuple(feature_loss.shape), taken=measures)
        return feature_loss, measures | own

    def _superposition(self, student: EmbeddingStudent) -> dict[str, Tensor]:
        """The measures of the embedding, which are computed once while it stays the same."""
        if self.sharding.dims:
            return superposition_measures(self.sharding.whole("encoder", local(student.embedding().detach())))
        embedding = student.embedding().detach()
        if any(p.requires_grad and p.data_ptr() == embedding.data_ptr() for p in self.student.parameters()):
            return superposition_measures(embedding)  # changes in place
        if self._kept_measures is None or not torch.equal(embedding, self._kept_measures[0]):
            self._kept_measures = embedding, superposition_measures(embedding)
        return self._kept_measures[1]

    def member_state(self, r: int) -> dict[str, Tensor]:
        """Everything that member `r` needs to go on, by name, sharing memory: what it would hold alone."""
        return {name: tensor[r] for name, tensor in self._state().items() if not self._only_others_hold(name, r)}

    def places(self) -> dict[str, Place]:
        """Where the shards among a member's state lie in their wholes."""
        found = {n: self.sharding.place(n.rpartition("/")[2], shard) for n, shard in self.member_state(0).items()}
        return {name: place for name, place in found.items() if place is not None}

    def load(self, r: int, state: Mapping[str, Tensor]) -> None:
        """Copy member `r`'s state, or this rank's shards of it, in place."""
        load_in_place(self.member_state(r), self.places(), state)
        self._all_alive = False  # as far as is known: the next step looks

    def _only_others_hold(self, name: str, r: int) -> bool:
        kind, _, rest = name.partition("/")
        parameter = rest.rpartition("/")[2]
        stands_still = parameter in self._untrained and bool(self._untrained[parameter][r])
        return stands_still and (kind == "optimizer" or parameter == "bias")

    def _state(self) -> dict[str, Float[Tensor, "r ..."]]:
        student = {f"student/{n}": local(t.detach()) for n, t in self.student.state_dict().items()}
        optimizer = {f"optimizer/{n}": t for n, t in self.optimizer.state.items()}
        return {**student, **optimizer, "engine/diverged_at": self.diverged_at}
