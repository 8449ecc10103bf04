"""Versions of installed distributions, for records of what a run or a report was made with.

Code that is imported from a source folder (`PYTHONPATH=src`) has no distribution, and records must be written there
too: on machines without a network it is the only way to run.
"""

from importlib.metadata import PackageNotFoundError, version


def installed_version(distribution: str) -> str | None:
    """As its metadata say it; None where it is not installed."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def named_version(distribution: str, version: str | None) -> str:
    """The two in words."""
    return f"{distribution} {version or 'not installed'}"
