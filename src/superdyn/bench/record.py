"""`scripts/bench`: all competitors of a suite side by side in one sitting, as JSON and as a table.

First the losses of all competitors on the same batches, then each one alone in a fresh process. Speeds are medians of
five, with the least and the greatest. The suites are toy students and, with `--language`, language models.
"""

import argparse
import json
import sys
from pathlib import Path

from superdyn.bench import language, language_table, students, table
from superdyn.bench.hardware import hardware, versions


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--language", action="store_true", help="language models against a plain PyTorch loop")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--quick", action="store_true", help="the smallest workloads only")
    parser.add_argument("--out", default="bench", help="writes OUT.json and OUT.md")
    options = parser.parse_args()
    suite, drawn = (language, language_table.table) if options.language else (students, table.table)
    head = {
        "command": " ".join(["scripts/bench", *sys.argv[1:]]),
        "hardware": hardware(options.device),
        "versions": versions(),
    }
    out, text = Path(options.out), ""
    for grown in suite.records(options.quick, options.device):
        record = head | grown
        text = drawn(record)
        out.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
        out.with_suffix(".md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
