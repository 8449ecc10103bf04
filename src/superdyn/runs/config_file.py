"""Reads `config.yaml` fast: most of a sweep's configurations are made of the same few texts."""

from functools import lru_cache
from typing import Any

import yaml


def parse_config(text: str) -> dict[str, Any]:
    """The YAML mapping. Top-level sections are parsed one by one: most are the same text in all runs of a sweep.

    Sections are shared between the results and must not be changed.
    """
    sections: list[str] = []
    for line in text.splitlines(keepends=True):
        if sections and line[0] in " -#\n":
            sections[-1] += line
        else:
            sections.append(line)
    merged: dict[str, Any] = {}
    for section in sections:
        merged |= _section(section)
    return merged


@lru_cache(maxsize=4096)
def _section(text: str) -> dict[str, Any]:
    return yaml.load(text, Loader=yaml.CSafeLoader) or {}
