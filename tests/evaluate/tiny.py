"""Tiny GPT-NeoX and Llama checkpoints, trained here for a few steps, so that the losses of the revisions really fall.

The language has 60 tokens with Zipf's frequencies; the models' vocabulary of 64 has four ids that never occur.
"""

import importlib
from pathlib import Path
from typing import Any

import torch

from superdyn.features.tokens.bigram import BigramTokens
from superdyn.features.tokens.synthetic import SyntheticTokens
from superdyn.features.tokens.write import ShardWriter

V, CONTEXT = 64, 32
STEPS = (0, 1, 4, 16, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192)
LANGUAGE = BigramTokens(60, 1.0, 0.9)


def tiny_model(kind: str, **changes: Any) -> Any:
    """Two layers of width 32; GPT-NeoX with two matrices for the vocabulary, Llama with one."""
    transformers = importlib.import_module("transformers")
    sizes: dict[str, Any] = {"vocab_size": V, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    sizes |= {"intermediate_size": 64, "max_position_embeddings": 64, "bos_token_id": 0, "eos_token_id": 0}
    torch.manual_seed(0)
    if kind == "neox":
        return transformers.GPTNeoXForCausalLM(transformers.GPTNeoXConfig(**sizes | changes))
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes, tie_word_embeddings=True))


def train(kind: str, folder: Path, steps: tuple[int, ...], name: str = "step{}") -> Path:
    """A checkpoint at each of `steps` of a short training with AdamW."""
    importlib.import_module("transformers").utils.logging.disable_progress_bar()
    model = tiny_model(kind)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    data = SyntheticTokens(LANGUAGE, CONTEXT, 16, seed=1)
    for step in range(steps[-1] + 1):
        if step in steps:
            model.save_pretrained(folder / name.format(step))
        inputs, targets = data.batch(step)
        loss = torch.nn.functional.cross_entropy(model(input_ids=inputs).logits.flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return folder


def write_tokens(folder: Path) -> Path:
    """6,000 tokens of the language in three shards."""
    inputs, _ = SyntheticTokens(LANGUAGE, 1000, 6, seed=2).batch(0)
    writer = ShardWriter(folder, "headered", V, "none", shard_tokens=2100)
    for document in inputs.numpy():
        writer.add(document)
    writer.close()
    return folder
