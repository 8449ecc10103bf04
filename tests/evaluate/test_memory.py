"""The estimate of memory against the growth of a process that evaluates; `-s` prints the table of docs/evaluate.md.

Anonymous memory, sampled every three milliseconds: pages of the checkpoint's file can be dropped by the system and do
not count. `slow`: a process for each row.
"""

import subprocess
import sys
from pathlib import Path

import pytest

transformers = pytest.importorskip("transformers", reason="the package transformers (extra llm) is not installed")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc"),
]

EVALUATE = """
import sys, threading, time
from pathlib import Path
from superdyn.evaluate import evaluation, plan
from superdyn.evaluate.memory import Load
from superdyn.evaluate.settings import Settings

def anonymous():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon"))

def watch():
    while True:
        peak[0] = max(peak[0], anonymous())
        time.sleep(0.003)

folder, dtype, context, batch = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
settings = Settings(str(folder / "model"), folder / dtype, (str(folder / "tokens.bin"),), context=context, batch=batch,
                    dtype=dtype)
made = plan.make_plan(settings)
start, peak = anonymous(), [0]
threading.Thread(target=watch, daemon=True).start()
evaluation.evaluate(settings, lambda line: None)
print(peak[0] - start, Load(made.config["evaluation"]["parameters"], made.shape, dtype, batch, context).bytes())
"""


@pytest.mark.parametrize(
    ("vocabulary", "width", "layers", "context", "batch"),
    [(50304, 256, 4, 512, 4), (2000, 768, 6, 512, 8), (50304, 768, 2, 128, 1)],
)
def test_the_estimate_is_not_exceeded(vocabulary, width, layers, context, batch, tmp_path):
    import numpy as np

    from superdyn.features.tokens.write import write_shard

    config = transformers.LlamaConfig(
        vocab_size=vocabulary, hidden_size=width, num_hidden_layers=layers, num_attention_heads=8,
        intermediate_size=4 * width, max_position_embeddings=2048,
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained(tmp_path / "model" / "step0")
    ids = np.random.default_rng(0).integers(0, vocabulary, 2 * context * batch + 1)
    write_shard(tmp_path / "tokens.bin", "headered", vocabulary, ids)
    for dtype in ("float32", "bfloat16"):
        command = [sys.executable, "-c", EVALUATE, tmp_path, dtype, str(context), str(batch)]
        shown = subprocess.run(command, capture_output=True, check=True, text=True).stdout
        grown, estimate = (int(number) / 2**30 for number in shown.split())
        print(f"\n{vocabulary}, {width}, {layers}, {context}, {batch} {dtype}: {grown:.2f} of {estimate:.2f} GiB")
        assert grown < 1.1 * estimate
        assert grown > 0.3 * estimate
