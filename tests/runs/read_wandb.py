"""Prints what offline `.wandb` files hold, as JSON: run record, history, summary, files, exit code.

A `.wandb` file is a 7-byte header, then LevelDB log blocks of 32,768 bytes, whose records (crc32, length,
type: 7 bytes) carry protocol buffers. Run as a script, in a process of its own: `python read_wandb.py
FILE…`.
"""

import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto.wandb_internal_pb2 import Record  # pyright: ignore[reportAttributeAccessIssue]

BLOCK, HEADER = 32_768, 7


def payloads(data: bytes) -> Iterator[bytes]:
    position, parts = HEADER, b""
    while position + HEADER <= len(data):
        if BLOCK - position % BLOCK < HEADER:  # too little room for a header: padding
            position += BLOCK - position % BLOCK
            continue
        length, kind = struct.unpack("<HB", data[position + 4 : position + HEADER])
        parts += data[position + HEADER : position + HEADER + length]
        position += HEADER + length
        if kind in (1, 4):  # a full record, or the last part of one
            yield parts
            parts = b""


def content(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {"history": [], "files": [], "summary": {}, "metrics": []}
    for payload in payloads(path.read_bytes()):
        record = Record.FromString(payload)
        if record.HasField("run"):
            run = record.run
            config = {item.key: json.loads(item.value_json) for item in run.config.update}
            found["run"] = {"id": run.run_id, "group": run.run_group, "name": run.display_name}
            found["run"] |= {"project": run.project, "tags": list(run.tags), "config": config}
        elif record.HasField("history"):
            found["history"].append(_items(record.history.item))
        elif record.HasField("summary"):
            found["summary"] |= _items(record.summary.update)
        elif record.HasField("files"):
            found["files"] += [file.path for file in record.files.files]
        elif record.HasField("metric"):
            found["metrics"].append([record.metric.name or record.metric.glob_name, record.metric.step_metric])
        elif record.HasField("exit"):
            found["exit_code"] = record.exit.exit_code
    return found


def _items(items: Any) -> dict[str, Any]:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


if __name__ == "__main__":
    print(json.dumps({path: content(Path(path)) for path in sys.argv[1:]}))
