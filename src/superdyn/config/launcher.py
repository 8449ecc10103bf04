"""The `launcher` section: where the packs of a sweep train and what each gets; `conf/launcher/placement.yaml` says what
each key means.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from superdyn.config.section import Count, NonNegative, Positive, Section


class LauncherConfig(Section):
    """How the runs of a sweep are placed: packs of stacked tensors, in the place that `name` says."""

    name: Literal["pack", "local", "slurm", "ray"] = "pack"
    max_pack_size: Count | None = None
    devices: Count | None = None
    slots: Count = 1
    stagger_seconds: NonNegative = 0.5
    retries: Annotated[int, Field(ge=0)] = 1
    fail_fast: bool = False
    max_parallel: Count = 16
    cpus: Count = 1
    gpus: Annotated[int, Field(ge=0)] = 0
    memory_gib: Positive | None = None
    wait: bool = True
    cluster: Literal["slurm", "local"] = "slurm"
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    time_minutes: Count = 60
    grace_seconds: Count = 90
    max_timeouts: Annotated[int, Field(ge=0)] = 100
    setup: Annotated[tuple[str, ...], Field(strict=False)] = ()
    options: dict[str, Any] = Field(default_factory=dict)
    address: str | None = None

    @property
    def trains_here(self) -> bool:
        """Whether runs train on the machine that launches them, so that its devices and memory can be asked."""
        return self.name in ("pack", "local") or (self.name == "slurm" and self.cluster == "local")
