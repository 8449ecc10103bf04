"""Words an error for the user: one sentence that names the key, the value and what is allowed.

Hydra's own messages run over several lines and miss the choices of a section; those of our schema are already right.
"""

import re

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from superdyn.config import RunConfig
from superdyn.config.validation import ConfigError, allowed_keys, causes

USER_ERRORS = (ValueError, HydraException, OmegaConfBaseException, FileNotFoundError, FileExistsError)
"""Errors that a user's input causes; anything else is a bug and shows its traceback."""


def sentence(error: BaseException) -> str:
    """One sentence about an error that the user's input caused."""
    for cause in causes(error):
        if isinstance(cause, ConfigError):
            return str(cause)
    text = str(error)
    if match := re.search(r"Could not override '([^']+)'", text):
        return _unknown_key(match.group(1))
    if match := re.search(
        r"Could not find '([^']+)/([^']+)'\s*Available options in '[^']+':\s*(.*?)\s*Config search",
        text,
        re.S,
    ):
        group, choice, options = match.groups()
        own = ", and those of your own folder with --config-dir" if group == "experiment" else ""
        return f"{group}={choice}: unknown choice; {group} allows {', '.join(options.split())}{own}."
    if match := re.search(r"Ambiguous value for argument '([^']+)'|Sweep parameters '(.+)' requires --multirun", text):
        return f"{match.group(1) or match.group(2)}: to sweep over several values add -m."
    if match := re.search(r"Error parsing override '(.*)'\n(.*)", text):
        return (
            f"{match.group(1)}: cannot be read ({match.group(2)}); allowed is KEY=VALUE, with quotes for the shell "
            f"around spaces, brackets and commas."
        )
    if "override_grammar" in text:  # Hydra names no override when it reads all of a sweep at once
        first = " ".join(text.partition("See https:")[0].split())
        return (
            f"the overrides cannot be read ({first}); allowed are KEY=VALUE, several values joined by commas without "
            f"spaces, and values with =, braces or spaces in quotes of their own inside those for the shell."
        )
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {(error.strerror or type(error).__name__).lower()}."
    first_paragraph = text.strip().split("\n\n")[0]
    return " ".join(first_paragraph.split()) or type(error).__name__


def _unknown_key(key: str) -> str:
    section, _, name = key.rpartition(".")
    if section.endswith("options"):
        return f"{key}: not among the options that the experiment declares; +{key}=… adds it."
    allowed = allowed_keys(RunConfig, tuple(section.split(".")) if section else ())
    if section and name in allowed.split(", "):
        group = section.partition(".")[0]
        return f"{key}: means nothing for the chosen {group}; it is a key of other choices of {group}."
    return f"{key}: unknown key {name!r}; {section or 'the configuration'} allows {allowed}."
