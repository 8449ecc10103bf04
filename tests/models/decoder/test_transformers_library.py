"""Language models with the weights of Hugging Face's GPT-2 and Llama give their logits and their loss."""

from typing import Any

import pytest
import torch
from torch import Tensor

from superdyn.config.decoder import DecoderSettings
from superdyn.models.decoder.language_model import LanguageModel

transformers = pytest.importorskip("transformers", reason="the transformers library is not installed")


def put(model: LanguageModel, name: str, value: Tensor) -> None:
    parameter = model.get_parameter(name)
    assert parameter.shape[1:] == value.shape, name
    parameter.data = value.detach()[None].clone()


def noisy(model: Any) -> Any:
    """Their initial biases are 0 and gains 1, which would hide where they go."""
    torch.manual_seed(0)
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model.eval()


def assert_same(model: LanguageModel, theirs: Any) -> None:
    tokens = torch.randint(60, (1, 3, 16))
    expected = theirs(input_ids=tokens[0], labels=tokens[0])
    torch.testing.assert_close(model(tokens)[0], expected.logits, rtol=1e-5, atol=1e-5)
    loss = model.loss(tokens[..., :-1], tokens[..., 1:], "cross_entropy").mean[0]
    torch.testing.assert_close(loss, expected.loss, rtol=1e-5, atol=1e-5)


def test_gpt2():
    config = transformers.GPT2Config(vocab_size=60, n_positions=16, n_embd=32, n_layer=2, n_head=4)
    theirs = noisy(transformers.GPT2LMHeadModel(config))
    settings = DecoderSettings(n_layers=2, n_heads=4, context=16, positions="learned", bias=True)
    model = LanguageModel(settings.shape(width=32), [0], 60)
    put(model, "encoder", theirs.transformer.wte.weight.T)
    put(model, "blocks.positions", theirs.transformer.wpe.weight)
    put(model, "norm.gain", theirs.transformer.ln_f.weight)
    put(model, "norm.bias", theirs.transformer.ln_f.bias)
    for i, layer in enumerate(theirs.transformer.h):
        pairs = {"attention_norm": layer.ln_1, "mlp_norm": layer.ln_2}
        for name, norm in pairs.items():
            put(model, f"blocks.layers.{i}.{name}.gain", norm.weight)
            put(model, f"blocks.layers.{i}.{name}.bias", norm.bias)
        weights, biases = layer.attn.c_attn.weight.T.split(32), layer.attn.c_attn.bias.split(32)
        for name, weight, bias in zip(("query", "key", "value"), weights, biases, strict=True):
            put(model, f"blocks.layers.{i}.attention.{name}.weight", weight)
            put(model, f"blocks.layers.{i}.attention.{name}.bias", bias)
        maps = {"attention.out": layer.attn.c_proj, "mlp.up": layer.mlp.c_fc, "mlp.down": layer.mlp.c_proj}
        for name, conv in maps.items():
            put(model, f"blocks.layers.{i}.{name}.weight", conv.weight.T)
            put(model, f"blocks.layers.{i}.{name}.bias", conv.bias)
    assert_same(model, theirs)


def test_llama_with_grouped_queries():
    config = transformers.LlamaConfig(
        vocab_size=60, hidden_size=32, intermediate_size=80, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=16, rms_norm_eps=1e-6, tie_word_embeddings=False,
    )  # fmt: skip
    theirs = noisy(transformers.LlamaForCausalLM(config))
    settings = DecoderSettings(
        n_layers=2, n_heads=4, n_kv_heads=2, mlp="swiglu", mlp_ratio=2.5, norm="rms", norm_eps=1e-6, context=16
    )
    model = LanguageModel(settings.shape(width=32, tied=False), [0], 60)
    put(model, "encoder", theirs.model.embed_tokens.weight.T)
    put(model, "decoder", theirs.lm_head.weight.T)
    put(model, "norm.gain", theirs.model.norm.weight)
    for i, layer in enumerate(theirs.model.layers):
        put(model, f"blocks.layers.{i}.attention_norm.gain", layer.input_layernorm.weight)
        put(model, f"blocks.layers.{i}.mlp_norm.gain", layer.post_attention_layernorm.weight)
        for name, theirs_name in {"query": "q_proj", "key": "k_proj", "value": "v_proj", "out": "o_proj"}.items():
            put(model, f"blocks.layers.{i}.attention.{name}.weight", getattr(layer.self_attn, theirs_name).weight)
        for name in ("gate", "up", "down"):
            put(model, f"blocks.layers.{i}.mlp.{name}.weight", getattr(layer.mlp, f"{name}_proj").weight)
    assert_same(model, theirs)
