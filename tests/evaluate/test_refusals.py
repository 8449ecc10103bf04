"""What cannot be evaluated is said in one sentence; a bad revision does not stop the others."""

import re
import shutil
import struct
import sys

import numpy as np
import pytest

transformers = pytest.importorskip("transformers", reason="the package transformers (extra llm) is not installed")
safetensors = pytest.importorskip("safetensors.torch")

from evaluate.tiny import V, tiny_model  # noqa: E402

from superdyn.analysis import load_curve  # noqa: E402
from superdyn.cli import main  # noqa: E402
from superdyn.features.tokens.write import write_shard  # noqa: E402
from superdyn.runs.folder import RunFolder  # noqa: E402


@pytest.fixture
def few(neox, tokens, tmp_path, monkeypatch):
    """Three revisions as `model/`, the tokens as `shards/`, in the working directory."""
    for step in (0, 16, 64):
        shutil.copytree(neox / f"step{step}", tmp_path / "model" / f"step{step}")
    shutil.copytree(tokens, tmp_path / "shards")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def one_sentence(text):
    assert text.startswith("superdyn: ")
    assert text.count("\n") == 1
    return text


def damaged_models(folder):
    """Models of one revision each: of pictures, with a header and with indices that cannot be read."""
    for name in ("picture", "header", "index", "gone"):
        shutil.copytree(folder / "model" / "step0", folder / name / "step0")
    (folder / "picture" / "step0" / "config.json").write_text('{"model_type": "vit"}')
    (folder / "header" / "step0" / "model.safetensors").write_bytes(struct.pack("<Q", 9) + b"{no json}" * 9)
    for name, index in (("index", "{}"), ("gone", '{"weight_map": {"a": "a.safetensors"}}')):
        (folder / name / "step0" / "model.safetensors").unlink()
        (folder / name / "step0" / "model.safetensors.index.json").write_text(index)


REFUSED = {
    "model out --tokens shards --revisions step3": ["none of 1 revisions", "step3", "there are step0, step16, step64"],
    "model out --tokens shards --revisions main": ["--revisions=main", "--steps or --step-pattern"],
    "model out --tokens shards --revisions auto --step-pattern x(.)": ["--revisions=auto", "none found"],
    "model out --tokens shards --step-pattern (": ["--step-pattern=(", "regular expression"],
    "model out --tokens shards --revisions step0,step16 --steps 1": ["--steps", "1 numbers for 2 revisions"],
    "model out --tokens shards --revisions step0,step16 --steps 5,5": ["step0 and step16 are both step 5"],
    "nowhere/at/all out --tokens shards": ["MODEL=nowhere/at/all", "no such folder"],
    "shards out --tokens shards": ["--revisions=auto", "none found"],
    "model out --tokens nothing.bin": ["nothing.bin", "no such file"],
    "model out --tokens large.bin": ["large.bin", "token 2 has id 64", "ids 0 to 63"],
    "model out --tokens shards --context 65": ["--context=65", "has 64 positions"],
    "model out --tokens short.bin": ["--context=64", "--tokens hold 5 tokens", "1 to 4"],
    "model short.bin --tokens shards": ["OUT=short.bin", "is a file"],
    "picture out --tokens shards": ["revision step0", "ViTConfig", "no vocab_size"],
    "header out --tokens shards": ["header/step0/model.safetensors", "damaged header"],
    "index out --tokens shards": ["model.safetensors.index.json", "weight_map"],
    "gone out --tokens shards": ["gone/step0/a.safetensors", "is missing"],
    "model out --tokens shards --max-tokens 10": ["--max-tokens=10", "--context=64"],
    "model out --tokens shards --batch 0": ["--batch=0"],
    "model out --tokens shards --dtype float16": ["--dtype=float16", "float32, bfloat16"],
    "model out --tokens shards --device tpu": ["--device=tpu", "cpu or cuda"],
    "model out --tokens shards --frequencies none.npy": ["--frequencies=none.npy", "no such file"],
    "model out --tokens shards --frequencies short.npy": ["--frequencies=short.npy", "64 counts"],
    "model out --tokens shards --lr-schedule none.csv": ["--lr-schedule=none.csv", "step and lr"],
    "model out --tokens shards --memory-gib 0.001": ["--memory-gib", "no setting needs less than"],
}


@pytest.mark.parametrize("command", REFUSED)
def test_wrong_input_is_refused_before_anything_is_loaded(command, few, capsys):
    write_shard(few / "large.bin", "headered", 100, np.array([1, 2, V, 3] * 100))
    np.save(few / "short.npy", np.ones(5))
    write_shard(few / "short.bin", "headered", V, np.arange(5))
    damaged_models(few)
    assert main(["evaluate", *command.split()]) == 2
    shown = one_sentence(capsys.readouterr().err)
    for word in REFUSED[command]:
        assert word in shown
    assert not (few / "out").exists()


@pytest.mark.parametrize(
    ("command", "word"), [("model out", "--tokens"), ("model out --tokens t --batch x", "--batch")]
)
def test_a_wrong_command_line_is_one_sentence_too(command, word, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["evaluate", *command.split()])
    shown = one_sentence(capsys.readouterr().err)
    assert word in shown
    assert "superdyn evaluate -h" in shown


def test_missing_and_damaged_revisions_are_reported_and_the_rest_goes_on(few, capsys):
    weights = few / "model" / "step16" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    lacking = few / "model" / "step64" / "model.safetensors"
    tensors = safetensors.load_file(lacking)
    del tensors["gpt_neox.layers.0.mlp.dense_h_to_4h.weight"]
    safetensors.save_file(tensors, lacking, metadata={"format": "pt"})
    assert main(["evaluate", "model", "out", "--tokens", "shards", "--revisions", "step0,step3,step16,step64"]) == 1
    shown = capsys.readouterr().out.splitlines()
    assert [line for line in shown if line.startswith("revision step3: model has no subfolder of that name")]
    assert [line for line in shown if line.startswith("revision step16: cannot be loaded: ")]
    assert [line for line in shown if "step64: its files lack 1 weights, such as gpt_neox.layers.0.mlp" in line]
    assert shown[-1] == "out: 1 revisions measured, 0 already stored, 3 could not be measured"
    status, result = RunFolder("out").status(), RunFolder("out").result()
    assert status is not None
    assert result is not None
    assert (status.state, len(result["not_measured"]), load_curve("out")["step"].tolist()) == ("done", 3, [0])
    assert status.error is not None
    assert "step3" in status.error


def test_fail_fast_stops_and_the_mended_revision_is_measured_later(few, neox, capsys):
    shutil.rmtree(few / "model" / "step16")
    command = ["evaluate", "model", "out", "--tokens", "shards", "--revisions", "step0,step16,step64"]
    assert main([*command, "--fail-fast"]) == 1
    status = RunFolder("out").status()
    assert status is not None
    assert (status.state, load_curve("out")["step"].tolist()) == ("failed", [0])
    shutil.copytree(neox / "step16", few / "model" / "step16")
    assert main(command) == 0
    assert "2 revisions measured, 1 already stored" in capsys.readouterr().out
    assert load_curve("out")["step"].tolist() == [0, 16, 64]


def test_another_vocabulary_and_a_loss_that_is_not_finite_are_reported(few, capsys):
    tiny_model("neox", vocab_size=80).save_pretrained(few / "model" / "step80")
    broken = tiny_model("neox")
    broken.lm_head.weight.data[3, 3] = float("nan")
    broken.save_pretrained(few / "model" / "step90")
    assert main(["evaluate", "model", "out", "--tokens", "shards"]) == 1
    shown = capsys.readouterr().out
    assert "revision step80: has a vocabulary of 80, the others of 64." in shown
    assert "revision step90: its loss is not finite." in shown


def test_the_change_that_memory_needs_is_named_and_works(few, capsys):
    command = ["evaluate", "model", "out", "--tokens", "shards", "--memory-gib", "0.0645", "--batch", "64"]
    assert main(command) == 2
    shown = one_sentence(capsys.readouterr().err)
    found = re.search(r"\(21,248 parameters\) and 0.0645 GiB are allowed; (--batch \d+) would fit", shown)
    assert found, shown
    assert main([*command, *found.group(1).split()]) == 0


def test_a_folder_of_other_settings_or_of_a_training_is_left_alone(few, capsys, make_config, train_together):
    assert main(["evaluate", "model", "out", "--tokens", "shards", "--revisions", "step0"]) == 0
    assert main(["evaluate", "model", "out", "--tokens", "shards", "--context", "16"]) == 2
    assert "holds an evaluation with context=" in one_sentence(capsys.readouterr().err)
    assert main(["evaluate", "model", "out", "--tokens", "shards", "--max-tokens", "64"]) == 2
    assert "and this --max-tokens gives" in one_sentence(capsys.readouterr().err)
    (training,) = train_together([make_config()])
    assert main(["evaluate", "model", str(training.path), "--tokens", "shards"]) == 2
    assert "not an evaluation" in one_sentence(capsys.readouterr().err)
    assert main(["retry", "out"]) == 2
    assert "superdyn evaluate" in one_sentence(capsys.readouterr().err)


def test_a_missing_package_is_named_with_its_remedy(few, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert main(["evaluate", "model", "out", "--tokens", "shards"]) == 2
    assert "pip install 'superdyn[llm]'" in one_sentence(capsys.readouterr().err)
