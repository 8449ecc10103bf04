"""What `superdyn verify` finds, and the parts that its work is cut into."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

Advance = Callable[[int], None]
"""Is told of bytes that were read."""


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be, or (`problem` false) that explains what is there.

    Attributes:
        file: relative to the folder that is verified.
        kind: one of a few words, for programs.
        text: what is wrong, for people.
    """

    file: str
    kind: str
    text: str
    problem: bool = True


class Job(NamedTuple):
    """A part of the work: how many bytes and files it reads, and the function that looks at them."""

    bytes: int
    files: int
    check: Callable[[Advance], Sequence[Finding]]
