"""Tiny GPT-NeoX and Llama checkpoints, trained here for a few steps, and token files for them.

The language is a bigram language of 60 tokens whose frequencies are Zipf's; training is a plain loop, so that the losses
of the revisions really fall.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from superdyn.features.tokens.bigram import BigramTokens
from superdyn.features.tokens.synthetic import SyntheticTokens
from superdyn.features.tokens.write import ShardWriter

V, CONTEXT = 64, 32
STEPS = (0, 1, 4, 16, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192)

transformers = pytest.importorskip("transformers", reason="the package transformers (extra llm) is not installed")


def tiny_model(kind: str) -> torch.nn.Module:
    """Two layers of width 32."""
    sizes = {"vocab_size": V, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    sizes |= {"intermediate_size": 64, "max_position_embeddings": 64, "bos_token_id": 0, "eos_token_id": 0}
    torch.manual_seed(0)
    if kind == "neox":
        return transformers.GPTNeoXForCausalLM(transformers.GPTNeoXConfig(**sizes))
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes, tie_word_embeddings=True))


def train(kind: str, folder: Path, steps: tuple[int, ...], name: str = "step{}") -> Path:
    """A checkpoint at each of `steps` of a short training with AdamW."""
    transformers.utils.logging.disable_progress_bar()
    model = tiny_model(kind)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    data = SyntheticTokens(BigramTokens(60, 1.0, 0.9), CONTEXT, 16, seed=1)
    for step in range(steps[-1] + 1):
        if step in steps:
            model.save_pretrained(folder / name.format(step))
        inputs, targets = data.batch(step)
        loss = torch.nn.functional.cross_entropy(model(input_ids=inputs).logits.flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return folder


@pytest.fixture(scope="session")
def neox(tmp_path_factory) -> Path:
    return train("neox", tmp_path_factory.mktemp("neox"), STEPS)


@pytest.fixture(scope="session")
def llama(tmp_path_factory) -> Path:
    return train("llama", tmp_path_factory.mktemp("llama"), (0, 8, 16), "checkpoint-{}")


@pytest.fixture(scope="session")
def tokens(tmp_path_factory) -> Path:
    """About 6,000 tokens in three shards; of the 64 ids the last four never occur."""
    folder = tmp_path_factory.mktemp("tokens") / "shards"
    inputs, _ = SyntheticTokens(BigramTokens(60, 1.0, 0.9), 1000, 6, seed=2).batch(0)
    writer = ShardWriter(folder, "headered", V, "none", shard_tokens=2100)
    for document in inputs.numpy():
        writer.add(document)
    writer.close()
    assert len(np.unique(inputs)) <= 60
    return folder
