"""Puts the parameters of another run's checkpoint in the place of a member's initial values.

The member's counters stay as they are: its steps count from 0 and it has not diverged.
"""

from collections.abc import Mapping

from torch import Tensor

from superdyn.training.engine import Engine
from superdyn.training.sharding import SavedShards, load_in_place
from superdyn.training.threaded import ThreadedEngine


def start_member(engine: Engine | ThreadedEngine, r: int, state: Mapping[str, Tensor], *, optimizer: bool) -> None:
    """Load the student of member `r`, or this rank's shards of it, and with `optimizer` the state of its update rule.

    Raises:
        ValueError: the checkpoint lacks one of the member's tensors, or has it in another shape.
    """
    parts = ("student/", "optimizer/") if optimizer else ("student/",)
    tensors = {name: tensor for name, tensor in engine.member_state(r).items() if name.startswith(parts)}
    for name, tensor in tensors.items():
        if name not in state:
            raise ValueError(f"the checkpoint to start from has no {name}, which this run has")
        # Shards are cut from wholes of any layout, and refused there.
        if not isinstance(state, SavedShards) and name not in engine.places() and state[name].shape != tensor.shape:
            shapes = list(state[name].shape), list(tensor.shape)
            raise ValueError(f"the checkpoint to start from has {name} of shape {shapes[0]}, and this run {shapes[1]}")
    load_in_place(tensors, engine.places(), state)
