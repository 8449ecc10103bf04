"""Which keys of a configuration are a run's identity, and which may differ between the members of a pack."""

from collections.abc import Sequence
from functools import cache
from typing import Any

MEMBER_FIELDS = (
    "seed",
    "data.data_exponent",
    "data.importance_exponent",
    "data.density",
    "optimizer.lr",
    "optimizer.weight_decay",
    "optimizer.schedule",
    "optimizer.warmup_fraction",
    "optimizer.final_fraction",
    "optimizer.decay_power",
    "optimizer.decay_start",
    "optimizer.decay_fraction",
    "optimizer.decay_type",
    "start.step",
    "start.optimizer",
    "start.signature",
    "model.core_init_scale",
)
"""Fields that may differ between the members of one pack: they change numbers, never shapes or operations."""

TRANSFORMER_MEMBER_FIELDS = ("model.decoder.init_scale",)
"""What transformers of one pack may differ in too."""

SWITCH_FIELDS = ("model.name", "model.train_encoder", "model.encoder_init", "model.bias")
"""Switches of the built-in student that members may also differ in where shapes agree, see `RunConfig.pack_key`."""

PACK_FIELDS = (
    "trainer.accelerator",
    "trainer.devices",
    "trainer.num_nodes",
    "trainer.strategy",
    "trainer.deterministic",
    "trainer.compile",
    "trainer.checkpoint_activations",
    "trainer.chunk_steps",
    "trainer.checkpoint_schedule",
)
"""Incidental fields in which the members of a pack agree all the same, since they train in one place and one rhythm."""

INCIDENTAL_FIELDS = (
    "name",
    "tier",
    "claim",
    "notes",
    "logger",
    "launcher",
    "sweep",
    "start.run",
    *PACK_FIELDS,
    "trainer.checkpoint_minutes",
    "trainer.progress",
)
"""Fields that cannot change a run's result and so are left out of its signature."""

LATER_FIELDS = {
    "trainer.measures": [],
    "optimizer.options": {},
    "optimizer.clip_norm": None,
    "optimizer.decay_fraction": 0.2,
    "optimizer.decay_type": "linear",
    "start.step": None,
    "start.optimizer": True,
    "start.data_step": None,
    "start.signature": None,
}
"""Fields that runs once did without: at these values they are left out of the signature, which stays what it was."""


@cache
def is_incidental(key: str) -> bool:
    """Whether a dotted key is left out of the signature."""
    return is_under(key, INCIDENTAL_FIELDS)


def counts(key: str, value: Any) -> bool:
    """Whether a dotted key with this plain value is part of the signature."""
    return not is_incidental(key) and not (key in LATER_FIELDS and value == LATER_FIELDS[key])


def is_under(key: str, roots: Sequence[str]) -> bool:
    """Whether a dotted key is one of these or lies in one of these sections."""
    return any(key == root or key.startswith(root + ".") for root in roots)
