"""The fingerprint of the configuration schema: which keys, types, limits and defaults a run was described with.

A key that a later version adds changes the signature of every run. Runs whose recorded fingerprint is another one are
therefore read again with the present schema (`runs/adopt.py`) before they count as different.
"""

import functools
import hashlib
import json
from typing import Any

from superdyn.config import INCIDENTAL_FIELDS, RunConfig


@functools.cache
def schema_fingerprint() -> str:
    """Hex digest of the schema without its descriptions, and of the keys that are no part of a signature."""
    content = [_bare(RunConfig.model_json_schema()), sorted(INCIDENTAL_FIELDS)]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _bare(node: Any) -> Any:
    """The schema without the texts that only explain it."""
    if isinstance(node, dict):
        texts = {key for key in ("description", "title") if isinstance(node.get(key), str)}
        return {key: _bare(value) for key, value in node.items() if key not in texts}
    return [_bare(item) for item in node] if isinstance(node, list) else node
