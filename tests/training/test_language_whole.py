"""A language model compiled with its loss as one function against the eager one, on the CPU."""

import json
import subprocess
import sys

import pytest
from training.token_runs import GPT2, LLAMA, TOKENS

RELU = {"mlp": "relu"}
"""On the CPU other activations ask for the number of threads, which breaks a graph in two."""

UPDATES = """
import json, sys, torch
from superdyn.config import RunConfig
from superdyn.features.tokens.batch import TokenBatch
from superdyn.models.decoder import language_model
from superdyn.models.language_model import TokenStudent
from superdyn.training.token_objective import TokenObjective

tile_bytes, *mappings = json.loads(sys.argv[1])
language_model.WHOLE_TILE_BYTES = tile_bytes
configs = [RunConfig.from_mapping(mapping) for mapping in mappings]
objective, students = TokenObjective(configs), [TokenStudent(configs) for _ in range(2)]
students[1].compile_parts("aot_eager")
students[1].compile_whole("aot_eager")
tolerance = 2e-2 if configs[0].trainer.precision == "bf16-mixed" else 1e-5
for _ in range(3):
    tokens = torch.randint(64, (2, 8, 17))
    batch = TokenBatch(tokens[..., :-1].contiguous(), tokens[..., 1:].contiguous())
    eager, whole = (objective.gradients(student, batch) for student in students)
    torch.testing.assert_close(whole.loss, eager.loss, rtol=tolerance, atol=0)
    for name, gradient in eager.by_name.items():
        error = (whole.by_name[name] - gradient).norm() / gradient.norm().clamp(min=1e-3)
        assert error < tolerance, (name, error)
        assert name != "encoder" or whole.by_name[name].is_contiguous()
    with torch.no_grad():
        for student in students:
            for name, parameter in student.named_parameters():
                parameter.sub_(eager.by_name[name], alpha=0.1)
counters = torch._dynamo.utils.counters
print(counters["stats"]["unique_graphs"], sum(counters["graph_break"].values()))
"""


@pytest.mark.parametrize(
    ("changes", "tile_bytes"),
    [
        ({"model__decoder": GPT2 | RELU, "trainer__precision": "bf16-mixed"}, 2**31),
        ({"model__decoder": LLAMA | RELU, "model__tied": False}, 32 * 64 * 4),
    ],
    ids=["like GPT-2, rounded", "like Llama, in tiles"],
)
def test_a_model_compiled_with_its_loss_is_one_graph_and_has_the_eager_gradients(changes, tile_bytes, make_config):
    configs = [make_config(**TOKENS | changes, seed=seed, trainer__accumulate=2) for seed in range(2)]
    what = json.dumps([tile_bytes, *(config.to_mapping() for config in configs)])
    # A process without the shape checks, which cannot be traced.
    done = subprocess.run([sys.executable, "-c", UPDATES, what], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["1", "0"]
