"""Refuses token files that would show training what it is measured on.

Folders of nanoGPT and llm.c hold train.bin and val.bin side by side: a folder or pattern that takes in both would train
on the validation split. Whoever names every file means it.
"""

import re
from collections.abc import Sequence

from superdyn.features.tokens.shards import shard_paths

_HELD_OUT = {"val", "valid", "validation", "test", "eval", "dev"}


def check_held_out(files: Sequence[str], eval_files: Sequence[str]) -> None:
    """Refuse evaluation files that are trained on, and splits that only a folder or pattern brought together.

    Raises:
        ValueError: naming the key, the file and what is allowed.
        FileNotFoundError: as `shard_paths`.
    """
    trained = {path.resolve() for path in shard_paths(files)}
    for path in shard_paths(eval_files) if eval_files else ():
        if path.resolve() in trained:
            raise ValueError(
                f"data.tokens.eval_files={list(eval_files)}: {path} is among data.tokens.files={list(files)} and would "
                f"be trained on; allowed are files that are not, or no eval_files: the last tokens of files are then "
                f"held out."
            )
    for source in files:
        found = shard_paths(source)
        splits = [path for path in found if _HELD_OUT & set(re.split(r"[^a-z]+", path.stem.lower()))]
        if splits and len(splits) < len(found):
            rest = next(path for path in found if path not in splits)
            raise ValueError(
                f"data.tokens.files={list(files)}: {source} holds {splits[0].name} beside {rest.name}, and both would "
                f"be trained on; name the files, such as data.tokens.files=[{rest}] and "
                f"data.tokens.eval_files=[{splits[0]}]."
            )
