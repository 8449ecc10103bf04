"""`superdyn evaluate` on tiny checkpoints: every number against a direct computation."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

transformers = pytest.importorskip("transformers", reason="the package transformers (extra llm) is not installed")

from evaluate.tiny import CONTEXT, STEPS, V, train  # noqa: E402

from superdyn.analysis import half_time_exponent, half_times, load_curve  # noqa: E402
from superdyn.analysis.evaluated import load_bin_losses, load_bins  # noqa: E402
from superdyn.cli import main  # noqa: E402
from superdyn.features.tokens.corpus import TokenCorpus  # noqa: E402
from superdyn.models.measures import superposition_measures  # noqa: E402


def load(folder):
    return transformers.AutoModelForCausalLM.from_pretrained(folder).eval()


def all_ids(tokens):
    corpus = TokenCorpus(tokens, V)
    return corpus.read(0, len(corpus))


def direct_losses(model, ids):
    """(target, loss) of every window, one token at a time from the whole matrix of logits, in float64."""
    found = []
    for start in range(0, len(ids) - CONTEXT, CONTEXT):
        window = torch.from_numpy(ids[start : start + CONTEXT + 1])
        with torch.no_grad():
            logits = model(window[None, :-1]).logits[0].double()
        for position, target in enumerate(window[1:].tolist()):
            weights = torch.exp(logits[position] - logits[position].max())
            found.append((target, -float(torch.log(weights[target] / weights.sum()))))
    return found


def bins_by_hand(ids, count):
    """Which tenth of the text each token lies in: where the middle of its own part lies."""
    counts = np.bincount(ids, minlength=V)
    order, before, label = sorted(range(V), key=lambda v: (-counts[v], v)), 0, {}
    for v in order:
        label[v] = int((before + counts[v] / 2) * count / len(ids))
        before += counts[v]
    return label


@pytest.mark.parametrize("step", [0, 192])
def test_losses_of_bins_are_those_of_a_direct_computation(step, measured, neox, tokens):
    ids = all_ids(tokens)
    found = direct_losses(load(neox / f"step{step}"), ids)
    curve = load_curve(measured).set_index("step")
    assert curve["loss"][step] == pytest.approx(np.mean([loss for _, loss in found]), rel=1e-5)
    label, steps_losses = bins_by_hand(ids, 10), load_bin_losses(measured, "occurrences")
    row = steps_losses[1][steps_losses[0].tolist().index(step)]
    for number in range(10):
        inside = [loss for target, loss in found if label[target] == number]
        assert row[number] == pytest.approx(np.mean(inside) if inside else np.nan, rel=1e-5, nan_ok=True)


def test_bins_hold_a_tenth_of_the_text_as_nearly_as_whole_tokens_allow(measured, tokens):
    bins, ids = load_bins(measured, "occurrences"), all_ids(tokens)
    largest = np.bincount(ids).max() / len(ids)
    assert bins["share"].sum() == pytest.approx(1)
    assert (abs(bins["share"] - 0.1) <= largest).all()
    assert bins["types"].sum() == len(np.unique(ids))
    assert bins["evaluated"].sum() == (len(ids) - 1) // CONTEXT * CONTEXT


def test_both_kinds_of_bins_have_the_total_loss(measured):
    loss = load_curve(measured)["loss"].to_numpy()
    for kind in ("occurrences", "rank"):
        weight = load_bins(measured, kind)["evaluated"].to_numpy(float)
        binned = np.nansum(load_bin_losses(measured, kind)[1] * weight, axis=1) / weight.sum()
        np.testing.assert_allclose(binned, loss, rtol=1e-6)


def test_superposition_is_that_of_the_two_matrices(measured, neox):
    curve = load_curve(measured).set_index("step")
    model = load(neox / "step64")
    for name, layer in (("embedding", model.gpt_neox.embed_in), ("unembedding", model.lm_head)):
        rows = layer.weight.detach()
        for measure, value in superposition_measures(rows.T[None]).items():
            assert curve[f"{name}_{measure}"][64] == pytest.approx(float(value), rel=1e-12)
        unit = rows.double() / rows.double().norm(dim=1, keepdim=True)
        overlap = float(((unit @ unit.T) ** 2).sum() - V) / (V * (V - 1))
        assert curve[f"{name}_mean_square_overlap"][64] == pytest.approx(overlap, rel=1e-9)


def test_tied_matrices_and_names_of_a_trainer(tmp_path, tokens):
    train("llama", tmp_path / "llama", (0, 8, 16), "checkpoint-{}")
    command = ["evaluate", str(tmp_path / "llama"), str(tmp_path / "out"), "--tokens", str(tokens)]
    assert main([*command, "--max-tokens", "640"]) == 0
    curve = load_curve(tmp_path / "out")
    assert curve["step"].tolist() == [0, 8, 16]
    assert curve["loss"].is_monotonic_decreasing
    pd.testing.assert_series_equal(
        curve["embedding_participation_ratio"], curve["unembedding_participation_ratio"], check_names=False
    )
    ids, model = all_ids(tokens), load(tmp_path / "llama" / "checkpoint-16")
    assert load_bins(tmp_path / "out", "rank")["evaluated"].sum() == 640
    with torch.no_grad():  # windows of 64, the model's longest, all of them: a sample of ten lies near
        parts = torch.from_numpy(ids[: len(ids) // 64 * 64].reshape(-1, 64))
        whole = float(model(parts, labels=parts).loss)
    assert curve["loss"].iloc[-1] == pytest.approx(whole, rel=0.05)


def test_result_has_the_fit_and_the_half_times(measured):
    result = json.loads((measured / "result.json").read_text())
    assert result["axis"] == "step"
    assert not {"alpha_sequential", "alpha_rich", "alpha_null_long", "exact_deviation"} & result.keys()
    assert result["loss_initial"] == pytest.approx(np.log(V), rel=0.02)
    assert result["alpha"] > 0
    steps, losses = load_bin_losses(measured, "rank")
    rank = load_bins(measured, "rank")["mean_rank"].to_numpy()
    expected = half_time_exponent(half_times(steps, losses), rank=rank)
    assert result["half_time_exponent"] == pytest.approx(expected.z)
    assert result["half_time_bins"] == [int(np.isfinite(half_times(steps, losses)).sum()), len(rank)]
    assert result["not_measured"] == {}


def test_repeating_the_command_measures_nothing(measured, neox, tokens, capsys):
    before = {file: file.stat().st_mtime_ns for file in (measured / "revisions").iterdir()}
    assert len(before) == len(STEPS)
    assert main(["evaluate", str(neox), str(measured), "--tokens", str(tokens), "--context", "32", "--batch", "3"]) == 0
    assert f"0 revisions measured, {len(STEPS)} already stored" in capsys.readouterr().out
    assert {file: file.stat().st_mtime_ns for file in (measured / "revisions").iterdir()} == before


def test_bfloat16_and_batches_change_little(measured, neox, tokens, tmp_path):
    command = ["evaluate", str(neox), str(tmp_path / "out"), "--tokens", str(tokens), "--context", "32"]
    assert main([*command, "--dtype", "bfloat16", "--batch", "7", "--revisions", "step0,step192"]) == 0
    expected = load_curve(measured).set_index("step").loc[[0, 192], "loss"]
    np.testing.assert_allclose(load_curve(tmp_path / "out")["loss"], expected, rtol=1e-2)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors"])
def test_files_as_pythia_has_them_give_the_same_loss(name, measured, neox, tokens, tmp_path):
    """float16, with masks and rotary frequencies beside the weights."""
    safetensors = pytest.importorskip("safetensors.torch")
    weights = {key: value.half() for key, value in safetensors.load_file(neox / "step64/model.safetensors").items()}
    for layer in range(2):
        weights[f"gpt_neox.layers.{layer}.attention.bias"] = torch.ones(1, 1, 64, 64, dtype=torch.bool).tril()
        weights[f"gpt_neox.layers.{layer}.attention.masked_bias"] = torch.tensor(-1e9).half()
        weights[f"gpt_neox.layers.{layer}.attention.rotary_emb.inv_freq"] = torch.ones(4).half()
    folder = tmp_path / "model" / "step64"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text((neox / "step64/config.json").read_text())
    save = torch.save if name.endswith(".bin") else safetensors.save_file
    save(weights, folder / name)
    command = ["evaluate", str(tmp_path / "model"), str(tmp_path / "out"), "--tokens", str(tokens), "--context", "32"]
    assert main(command) == 0
    expected = load_curve(measured).set_index("step")["loss"][64]
    assert load_curve(tmp_path / "out")["loss"].tolist() == [pytest.approx(expected, rel=1e-3)]
