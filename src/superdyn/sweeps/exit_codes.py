"""What an exit code says: of the command line, of a worker, of a group of ranks and of a job that attends one.

0 all of its points are done, 1 some are not; the others are named here. As in a shell, 128 + n is an end by signal n.
"""

import signal

WRONG_INPUT = 2
"""The ranks do not fit or agree; that of the command line after any refusal."""

STORAGE_FAULT, DEVICE_FAULT = 74, 75
"""The disk cannot be written, the device is gone: EX_IOERR and EX_TEMPFAIL of sysexits.h."""

DIED = 128
"""Codes above it mean a signal."""

INTERRUPTED = DIED + signal.SIGINT

UNREAD = DIED + signal.SIGPIPE
"""Nobody reads any more what the command line prints (`| head`)."""

KILLED = DIED + signal.SIGKILL
"""Mostly by the system, because memory runs out."""

TERMINATED = DIED + signal.SIGTERM
"""With Lightning's own 0 a scheduler would take a preempted job for a success."""


def exit_code(returncode: int) -> int:
    """What Python says of a process that has ended, in a shell's words: 128 + n after signal n."""
    return returncode if returncode >= 0 else DIED - returncode
