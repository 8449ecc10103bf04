"""Language models through the engine: a plain torch loop, packs, resume, microbatches, precision, known entropies."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from models.decoder.plain import PlainDecoder, of_member
from training.test_packs import assert_same_run, final_state
from training.token_runs import BIGRAM, GPT2, LLAMA, TOKENS

from superdyn.features.token_source import bin_of_token, language
from superdyn.features.token_stream import evaluation_tokens, token_stream
from superdyn.features.tokens.zipf import entropy
from superdyn.models.protocol import build_student
from superdyn.runs.checkpoints import checkpoint_steps
from superdyn.training.engine import Engine


def plain_loss(model, batch, kind):
    z = model(batch.inputs).flatten(0, 1)
    if kind == "cross_entropy":
        return F.cross_entropy(z, batch.targets.flatten())
    one_hot = F.one_hot(batch.targets.flatten(), z.shape[1]).to(z.dtype)
    return 0.5 * (z.softmax(1) - one_hot).square().sum(1).mean()


@pytest.mark.parametrize("kind", ["cross_entropy", "probability_error"])
def test_a_run_follows_a_plain_torch_loop(kind, make_config, train_together):
    config = make_config(**{**TOKENS, "loss": kind, "model__decoder": GPT2, "trainer__points_per_decade": 50})
    shape = config.model.decoder.shape(width=32)
    student = build_student([config])
    model = of_member(PlainDecoder(shape, 64, last_norm=True), dict(student.named_parameters()), 0)
    decayed = [p for p in model.parameters() if p.ndim == 2]
    spared = [p for p in model.parameters() if p.ndim == 1]
    rule = torch.optim.AdamW([{"params": decayed}, {"params": spared, "weight_decay": 0.0}], lr=0.003, weight_decay=0.1)
    expected, stream, held_out = [], token_stream(config), evaluation_tokens(config)
    for step in range(21):
        expected.append(plain_loss(model, held_out, kind).item())
        rule.zero_grad()
        plain_loss(model, stream.batch(step), kind).backward()
        rule.step()
    (folder,) = train_together([config])
    curve = folder.curve()
    assert curve["step"][-1] == 20
    assert curve["loss"][-1] < curve["loss"][0]
    np.testing.assert_allclose(curve["loss"], np.array(expected)[curve["step"]], rtol=1e-5)


@pytest.mark.parametrize(("optimizer", "vocabulary"), [("sgd", 64), ("adamw", 61), ("muon", 64)])
def test_a_pack_of_language_models_has_the_bits_of_lone_ones(optimizer, vocabulary, make_config, train_together):
    changes = {**TOKENS, "data__n_features": vocabulary, "optimizer__name": optimizer, "model__decoder": LLAMA}
    members = [{"seed": 0}, {"seed": 1}, {"seed": 2, "data__data_exponent": 1.5, "optimizer__lr": 0.01}]
    configs = [make_config(**{**changes, **member}) for member in members]
    packed = train_together(configs, "packed")
    for config, folder in zip(configs[1:], packed[1:], strict=True):
        assert_same_run(folder, train_together([config], f"solo-{config.seed}")[0])


def test_a_stopped_language_model_goes_on_bit_for_bit(make_config, train_together, stop_at):
    configs = [make_config(**TOKENS, seed=s, optimizer__schedule="cosine", trainer__max_steps=40) for s in range(2)]
    whole = train_together(configs, "whole")
    stop_at(13)
    assert train_together(configs, "stopped")[0].status().state == "interrupted"
    stop_at.undo()
    for one, other in zip(whole, train_together(configs, "stopped"), strict=True):
        assert_same_run(one, other)


def gradients(config):
    engine = Engine([config])
    found = engine.objective.gradients(engine.student, token_stream_pack(config))
    return {"loss": found.loss, **found.by_name}


def token_stream_pack(config):
    batch = token_stream(config).batch(0)
    return type(batch)(batch.inputs[None], batch.targets[None])


def test_microbatches_have_the_gradient_of_the_whole_batch(make_config):
    double = {**TOKENS, "trainer__precision": "64-true"}
    whole = gradients(make_config(**double))
    for name, part in gradients(make_config(**double, trainer__accumulate=4)).items():
        torch.testing.assert_close(part, whole[name], rtol=1e-9, atol=1e-13)


def test_recomputed_activations_leave_every_bit(make_config):
    kept = gradients(make_config(**TOKENS))
    for name, again in gradients(make_config(**TOKENS, trainer__checkpoint_activations=True)).items():
        assert torch.equal(again, kept[name])


@pytest.mark.parametrize("decoder", [GPT2, LLAMA], ids=["gpt2", "llama"])
def test_bf16_mixed_keeps_float32_parameters_and_gradients_near_those_of_float32(decoder, make_config):
    changes = {**TOKENS, "model__decoder": decoder}
    exact, rounded = (gradients(make_config(**changes, trainer__precision=p)) for p in ("32-true", "bf16-mixed"))
    assert {gradient.dtype for gradient in rounded.values()} == {torch.float32}
    one, other = (torch.cat([gradient.flatten() for gradient in found.values()]) for found in (exact, rounded))
    assert 1e-5 < (one - other).norm() / one.norm() < 0.02


def test_the_spectrum_is_the_contribution_of_each_frequency_bin(make_config, train_together):
    config = make_config(**TOKENS)
    (folder,) = train_together([config])
    _, spectrum = folder.spectrum()
    np.testing.assert_allclose(spectrum.sum(axis=1), folder.curve()["loss"], rtol=1e-6)
    bins = bin_of_token(config.data)
    assert bins[0] == 0
    assert np.all(np.diff(bins) >= 0)  # ids are ranks
    share = np.bincount(bins[evaluation_tokens(config).targets.numpy().ravel()], minlength=bins.max() + 1) / 512
    np.testing.assert_allclose(spectrum[0], share * np.log(64), rtol=0.05)  # before training all tokens cost ln V
    result = folder.result()
    assert result["loss_floor"] == pytest.approx(entropy(language(config.data).frequencies))
    assert [result[key] for key in ("alpha_sequential", "alpha_null_long", "half_time_exponent")] == [None] * 3


LEARN = {
    "trainer__max_steps": 300, "optimizer__schedule": "cosine", "model__decoder": {"n_layers": 1, "context": 16},
    "optimizer__lr": 0.01, "data__batch_size": 32, "trainer__points_per_decade": 2,
}  # fmt: skip


def test_a_unigram_language_is_learned_to_its_entropy(make_config, train_together):
    tokens = {"source": "zipf", "eval_tokens": 16384, "bins": 6}
    (folder,) = train_together([make_config(**{**TOKENS, **LEARN, "data__tokens": tokens})])
    floor = folder.result()["loss_floor"]
    assert 0.99 * floor < folder.curve()["loss"][-1] < 1.02 * floor


def test_what_follows_what_is_learned_in_a_bigram_language(make_config, train_together):
    config = make_config(**{**TOKENS, **LEARN, "data__tokens": BIGRAM, "model__tied": False})
    (folder,) = train_together([config])
    floor, loss = folder.result()["loss_floor"], folder.curve()["loss"][-1]
    assert 0.98 * floor < loss < entropy(language(config.data).frequencies) - 0.3


def test_public_checkpoints_are_kept_besides_the_newest(make_config, train_together):
    plain = make_config(**TOKENS)
    (folder,) = train_together([make_config(**TOKENS, trainer__checkpoint_schedule="public")])
    assert checkpoint_steps(folder.checkpoints) == [0, 1, 2, 4, 8, 16, 20]
    assert folder.status().signature == plain.signature()
    assert_same_run(folder, train_together([plain], "plain")[0])


@pytest.mark.parametrize("decay", [0.5, -0.5])
def test_decay_on_the_embedding_alone_moves_its_rows(decay, make_config, train_together):
    changes = {**TOKENS, "optimizer__weight_decay_on": "encoder", "trainer__max_steps": 10}
    free, held = (
        final_state(train_together([make_config(**{**changes, "optimizer__weight_decay": w})], str(w))[0])
        for w in (0.0, decay)
    )
    assert (held["student/encoder"].norm() < free["student/encoder"].norm()) == (decay > 0)
    torch.testing.assert_close(held["student/norm.gain"], free["student/norm.gain"], rtol=0.02, atol=0)


def test_muon_leaves_embeddings_positions_and_vectors_to_adamw(make_config):
    engine = Engine([make_config(**{**TOKENS, "model__decoder": GPT2, "optimizer__name": "muon"})])
    engine.prepare()
    rotated = {name.removeprefix("momentum/") for name in engine.optimizer.state if name.startswith("momentum/")}
    assert rotated == {n for n, _ in engine.student.named_parameters() if n.endswith(".weight")}
    engine.optimizer.update({n: torch.zeros_like(p) for n, p in engine.student.named_parameters()}, torch.tensor([0.1]))
    assert torch.equal(dict(engine.student.named_parameters())["norm.gain"], torch.ones(1, 32))  # gains do not decay


COMPILED = """
import sys, torch
from superdyn.config.decoder import DecoderSettings
from superdyn.models.decoder.groups import parameter_groups
from superdyn.models.decoder.language_model import LanguageModel
from superdyn.config import OptimizerConfig
from superdyn.training.optimizers import make_optimizer

backend, kind = sys.argv[1:]
settings = {"n_layers": 3, "context": 16, "mlp": "relu", "positions": "learned", "bias": True}
shape = DecoderSettings.from_mapping(settings).shape(width=32)
models, tokens = [LanguageModel(shape, [0, 1], 64) for _ in range(2)], torch.randint(64, (2, 4, 17))
models[1].compile_parts(backend)
rule = OptimizerConfig(name="adamw", lr=0.003, weight_decay=0.1)
rules = []
for model in models:
    named = dict(model.named_parameters())
    rules.append(make_optimizer(named, [rule, rule], groups=parameter_groups(named.items()), fused=True))
tolerance = {False: 1e-5, True: 2e-2}
for rounded in (False, True) if backend == "aot_eager" else (False,):  # inductor leaves out roundings to bfloat16
    for step in range(3):
        with torch.no_grad():  # Adam would magnify the roundings of the steps before
            for compiled, eager in zip(models[1].parameters(), models[0].parameters()):
                compiled.copy_(eager)
        losses, gradients = [], []
        for model in models:
            with torch.autocast("cpu", torch.bfloat16, enabled=rounded):
                loss = model.loss(tokens[..., :-1], tokens[..., 1:], kind).mean
            losses.append(loss.detach())
            found = torch.autograd.grad(loss.sum(), list(model.parameters()))
            gradients.append(dict(zip((name for name, _ in model.named_parameters()), found)))
        torch.testing.assert_close(*losses, rtol=tolerance[rounded], atol=0)
        for name, eager in gradients[0].items():
            error = (gradients[1][name] - eager).norm() / eager.norm().clamp(min=1e-3)
            assert error < tolerance[rounded], (name, rounded, error)
        for optimizer, gradient in zip(rules, gradients):
            optimizer.update(gradient, torch.full((2,), 0.003))
    with torch.no_grad():
        left = [model.loss(tokens[..., :-1], tokens[..., 1:], kind).mean for model in models]
    torch.testing.assert_close(*left, rtol=tolerance[rounded], atol=0)
print(torch._dynamo.utils.counters["stats"]["unique_graphs"])
"""
"""Updates of a compiled model follow those of an eager one; last it says how many graphs were compiled."""


def graphs_of_compiled_updates(backend, kind):
    # A process without the shape checks, which cannot be traced.
    command = [sys.executable, "-c", COMPILED, backend, kind]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def test_compiled_updates_follow_eager_ones():
    # One graph serves all blocks and one all tiles: in either precision, with and without gradients.
    assert graphs_of_compiled_updates("aot_eager", "cross_entropy") == 6


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
@pytest.mark.parametrize("kind", ["cross_entropy", "probability_error", "logit_error"])
def test_updates_compiled_to_machine_code_follow_eager_ones(kind):
    graphs_of_compiled_updates("inductor", kind)
