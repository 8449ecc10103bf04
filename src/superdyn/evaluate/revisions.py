"""Revisions: the checkpoints of one training by name, and the optimizer step that each name says.

A step is read from `step512`, `checkpoint-1000`, `stage1-step123-tokens1B` (OLMo) or a bare number; a pattern with one
group or a list of steps overrides that. `public` is the schedule of Pythia (Biderman et al. 2023): 0, 1, 2, 4, …, 512,
1000, 2000, …, 143000.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

AUTO, PUBLIC = "auto", "public"
STEP_PATTERN = r"(?:^|[^a-z])(?:step|global_step|checkpoint|ckpt|iter)[-_]?(\d+)|^(\d+)$"


@dataclass(frozen=True, order=True)
class Revision:
    """A checkpoint's optimizer step and its name."""

    step: int
    name: str


def public_names() -> list[str]:
    """The 154 revisions that Pythia published of each size."""
    steps = [0, *(2**power for power in range(10)), *range(1000, 143_001, 1000)]
    return [f"step{step}" for step in steps]


def chosen_revisions(
    asked: str, available: Sequence[str] | None, pattern: str | None = None, steps: str | None = None
) -> list[Revision]:
    """The revisions to measure, by ascending step.

    Args:
        asked: `auto`, `public`, or names with commas between.
        available: the names that exist, needed for `auto`; those that say no step are then left out.
        pattern: a regular expression whose first group is the step.
        steps: the steps of the asked names, with commas between.

    Raises:
        ValueError: a name without a step, two of one step, a wrong pattern, or none at all.
    """
    names = _names(asked, available)
    numbers = _given_steps(steps, asked, names) if steps is not None else [step_of(name, pattern) for name in names]
    found = [Revision(step, name) for step, name in zip(numbers, names, strict=True) if step is not None]
    silent = [name for step, name in zip(numbers, names, strict=True) if step is None]
    if silent and asked != AUTO:
        raise ValueError(
            f"--revisions={silent[0]}: its name does not contain the optimizer step; use --steps or --step-pattern."
        )
    if not found:
        raise ValueError(
            f"--revisions={asked}: none found; allowed are names, {PUBLIC}, or {AUTO} where there are any."
        )
    found = sorted(set(found))
    for earlier, later in pairwise(found):
        if earlier.step == later.step:
            raise ValueError(
                f"--revisions: {earlier.name} and {later.name} are both step {later.step}; choose with "
                "--step-pattern, or give other steps with --steps."
            )
    return found


def step_of(name: str, pattern: str | None = None) -> int | None:
    """The step that a name says, None if it says none.

    Raises:
        ValueError: `pattern` is no regular expression with a group of digits.
    """
    try:
        expression = re.compile(STEP_PATTERN if pattern is None else pattern, re.IGNORECASE)
    except re.error as error:
        raise ValueError(f"--step-pattern={pattern}: is not a regular expression ({error}).") from None
    if expression.groups < 1:
        raise ValueError(rf"--step-pattern={pattern}: needs one group for the step, as in step(\d+).")
    match = expression.search(name)
    digits = next((group for group in match.groups() if group), None) if match else None
    if digits is None:
        return None
    if not digits.isdecimal():
        raise ValueError(f"--step-pattern={pattern}: finds {digits!r} in {name}; a group of digits is needed.")
    return int(digits)


def _names(asked: str, available: Sequence[str] | None) -> list[str]:
    if asked == AUTO:
        return list(available or ())
    if asked == PUBLIC:
        return public_names()
    names = [name.strip() for name in asked.split(",")]
    return [name for name in names if name]


def _given_steps(steps: str, asked: str, names: Sequence[str]) -> list[int]:
    if asked == AUTO:
        raise ValueError(f"--steps: needs the names in --revisions, in the same order; {AUTO} has no order.")
    given = [part.strip() for part in steps.split(",")]
    for part in given:
        if not part.isdecimal():
            raise ValueError(f"--steps={part}: must be comma-separated whole numbers.")
    if len(given) != len(names):
        raise ValueError(f"--steps: has {len(given)} numbers for {len(names)} revisions; must be one each.")
    return [int(part) for part in given]
