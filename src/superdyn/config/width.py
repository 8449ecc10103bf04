"""A latent width said as a part of the number of features, `N/2`, `3N/4` or `N`, so that a sweep over N keeps N/K.

The run is described by the whole number that it means: signature and `config.yaml` have that.
"""

import re
from collections.abc import Mapping
from typing import Any

_PART = re.compile(r"([1-9]\d*)?N(?:/([1-9]\d*))?")


def with_whole_width(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """A composed configuration whose `model.width` is a number; the same one where there is nothing to do."""
    model, data = mapping.get("model"), mapping.get("data")
    if not isinstance(model, Mapping) or not isinstance(data, Mapping):
        return dict(mapping)
    width = whole_width(model.get("width"), data.get("n_features"))
    return {**mapping, "model": {**model, "width": width}} if "width" in model else dict(mapping)


def whole_width(width: Any, n_features: Any) -> Any:
    """⌊i N/j⌋, at least 1, of the text `iN/j`; what is none, or of an N that is none, is left for the schema."""
    part = _PART.fullmatch(width) if isinstance(width, str) else None
    if part is None or not isinstance(n_features, int):
        return width
    return max(int(part[1] or 1) * n_features // int(part[2] or 1), 1)
