"""Language models for runs whose parameters are sharded: weighed, compiled, broken on one rank, killed while saving.

Else they do what `TokenStudent` does; the environment says where and when.
"""

import gc
import json
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from superdyn.config import RunConfig
from superdyn.models.decoder.losses import LossKind, TokenLoss
from superdyn.models.language_model import TokenStudent


def bytes_of_tensors() -> int:
    """Memory of all tensors of this process, without what earlier runs have left for collection."""
    gc.collect()
    tensors = (x for x in gc.get_objects() if type(x) in (torch.Tensor, torch.nn.Parameter))
    storages = {x.untyped_storage().data_ptr(): x.untyped_storage().nbytes() for x in tensors}
    return sum(storages.values())


class Weighed(TokenStudent):
    """Writes the bytes of all tensors of its process to `$WEIGHTS/bytes <rank>` whenever it is saved."""

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        (Path(os.environ["WEIGHTS"]) / f"bytes {os.environ.get('RANK')}").write_text(json.dumps(bytes_of_tensors()))
        return super().state_dict(*args, **kwargs)


class Compiled(TokenStudent):
    """Its blocks are compiled, as they are on a GPU, but for the code generator."""

    def __init__(self, configs: Sequence[RunConfig]):
        super().__init__(configs)
        self.blocks.compile_layers("aot_eager")


class Fragile(TokenStudent):
    """The loss is not a number from training step 10 on, on one rank only."""

    steps = 0

    def loss(self, tokens: torch.Tensor, targets: torch.Tensor, kind: LossKind) -> TokenLoss:
        self.steps += torch.is_grad_enabled()
        mean, per_token = super().loss(tokens, targets, kind)
        broken = self.steps > 10 and os.environ.get("RANK") == "1"
        return TokenLoss(mean * (float("nan") if broken else 1.0), per_token)


class Mortal(TokenStudent):
    """Killed by SIGKILL when it is about to save for the first time after `$KILL_AFTER` steps of its process.

    On `$KILL_RANK` alone, and not before `$KILL_WHEN` exists: a file that another rank writes.
    """

    def __init__(self, configs: Sequence[RunConfig]):
        super().__init__(configs)
        self.steps = 0

    def loss(self, tokens: torch.Tensor, targets: torch.Tensor, kind: LossKind) -> TokenLoss:
        self.steps += torch.is_grad_enabled()
        return super().loss(tokens, targets, kind)

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        last = int(os.environ.get("KILL_AFTER", "1000000"))
        if self.steps > last and os.environ.get("RANK", "0") == os.environ["KILL_RANK"]:
            while "KILL_WHEN" in os.environ and not Path(os.environ["KILL_WHEN"]).exists():
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)
        return super().state_dict(*args, **kwargs)
