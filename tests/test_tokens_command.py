"""`superdyn tokens` end to end: real text, tokenizers trained here, data sets built here, and refusals in one sentence.

The text is in the public domain and comes with Python: the Zen that the module `this` prints (rotated by 13 letters).
"""

import codecs
import contextlib
import io
import os
import subprocess
import sys

import numpy as np
import pytest

with contextlib.redirect_stdout(io.StringIO()):
    import this

from superdyn.cli import main
from superdyn.features.tokens import documents
from superdyn.features.tokens.corpus import TokenCorpus, TokenWindows
from superdyn.features.tokens.manifest import read_manifest

tokenizers = pytest.importorskip("tokenizers", reason="the package tokenizers (extra llm or test) is not installed")

ZEN = codecs.decode(this.s, "rot13")
LINES = [line for line in ZEN.splitlines() if line]
END = "<|endoftext|>"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """A byte-level BPE of 300 tokens, saved as JSON."""
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<unk>", END], show_progress=False, initial_alphabet=alphabet
    )
    made.train_from_iterator([ZEN], trainer)
    made.path = str(tmp_path_factory.mktemp("tokenizer") / "zen.json")
    made.save(made.path)
    return made


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """The command runs in a folder of the test, with the text in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    (tmp_path / "zen.txt").write_text(ZEN)
    return tmp_path


def all_tokens(folder, vocabulary_size=300):
    corpus = TokenCorpus(folder, vocabulary_size)
    return corpus.read(0, len(corpus)).tolist()


@pytest.mark.parametrize("format", ["headered", "raw", "megatron"])
def test_text_becomes_shards_that_train(format, tokenizer, capsys):
    command = ["tokens", "zen.txt", "out", "--tokenizer", tokenizer.path, "--format", format, "--shard-tokens", "100"]
    assert main(command) == 0
    tokens = all_tokens("out")
    assert tokens[-1] == tokenizer.token_to_id(END)
    assert tokenizer.decode(tokens[:-1]) == ZEN
    shown = capsys.readouterr().out
    assert f"{len(tokens)} tokens of 1 documents in {-(-len(tokens) // 100)} shards in out ({format}, uint16" in shown
    batch = TokenWindows(TokenCorpus("out", 300), 32, 4, seed=0).batch(0)
    assert tokenizer.decode(batch.inputs[0].tolist()) in ZEN


def test_several_files_are_documents_in_order(own_folder, tokenizer):
    for i, line in enumerate(LINES[:3]):
        (own_folder / f"{i}.txt").write_text(line)
    assert main(["tokens", "1.txt", "[02].txt", "out", "--tokenizer", tokenizer.path]) == 0
    texts = "".join(tokenizer.decode(all_tokens("out"), skip_special_tokens=False)).split(END)
    assert texts == [LINES[1], LINES[0], LINES[2], ""]
    manifest = read_manifest(own_folder / "out")
    assert manifest is not None
    assert (manifest.documents, manifest.tokenizer, manifest.vocabulary_size) == (3, "zen.json", 300)


def test_a_large_file_is_read_in_parts_at_line_breaks(own_folder, tokenizer, monkeypatch):
    monkeypatch.setattr(documents, "PART_CHARACTERS", 50)
    (own_folder / "crlf.txt").write_bytes("één\r\ntwo\n\nthree".encode() * 30)
    assert main(["tokens", "zen.txt", "crlf.txt", "out", "--tokenizer", tokenizer.path]) == 0
    texts = tokenizer.decode(all_tokens("out"), skip_special_tokens=False).split(END)
    assert texts == [ZEN, "één\r\ntwo\n\nthree" * 30, ""]


def test_another_separator_or_none(own_folder, tokenizer, capsys):
    assert main(["tokens", "zen.txt", "a", "--tokenizer", tokenizer.path, "--separator", "<unk>"]) == 0
    assert all_tokens("a")[-1] == tokenizer.token_to_id("<unk>")
    bare = tokenizers.Tokenizer(tokenizers.models.WordLevel({"Beautiful": 0, "?": 1}, unk_token="?"))
    bare.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    bare.save("bare.json")
    assert main(["tokens", "zen.txt", "b", "--tokenizer", "bare.json"]) == 0
    assert "vocabulary 2, no separator" in capsys.readouterr().out
    assert sorted(set(all_tokens("b", 2))) == [0, 1]


def test_a_tokenizer_of_transformers_gives_the_same_shards(own_folder, tokenizer):
    transformers = pytest.importorskip("transformers", reason="the package transformers (extra llm) is not installed")
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END).save_pretrained("saved")
    for name, out in (("saved", "a"), (tokenizer.path, "b")):
        assert main(["tokens", "zen.txt", out, "--tokenizer", name]) == 0
    assert all_tokens("a") == all_tokens("b")


@pytest.fixture
def data_set(own_folder):
    """The lines of the Zen as a data set on disk, in the column `text`; numbers in the column `number`."""
    datasets = pytest.importorskip("datasets", reason="the package datasets (extra llm) is not installed")
    made = datasets.Dataset.from_dict({"number": list(range(len(LINES))), "text": LINES})
    datasets.DatasetDict({"train": made, "validation": made.select([0])}).save_to_disk("zen_set")
    made.save_to_disk("one_split")
    made.to_parquet(own_folder / "parquet" / "train.parquet")
    return "zen_set"


def test_a_data_set_gives_one_document_a_row(data_set, tokenizer):
    for source in (data_set, "one_split", "parquet"):
        assert main(["tokens", source, f"out_{source}", "--tokenizer", tokenizer.path]) == 0
        texts = tokenizer.decode(all_tokens(f"out_{source}"), skip_special_tokens=False).split(END)
        assert texts == [*LINES, ""]
    assert main(["tokens", data_set, "short", "--tokenizer", tokenizer.path, "--split", "validation"]) == 0
    assert tokenizer.decode(all_tokens("short")) == LINES[0]


def test_what_a_data_set_does_not_have_is_refused(data_set, tokenizer, capsys):
    cases = {
        "--text-column body": ["--text-column=body", "number, text"],
        "--text-column number": ["--text-column=number", "int", "text is needed"],
        "--split test": ["zen_set", "'test'", "train, validation"],
    }
    for options, words in cases.items():
        assert main(["tokens", data_set, "out", "--tokenizer", tokenizer.path, *options.split()]) == 2
        refused_in_one_sentence(capsys, words)


def test_a_data_set_that_is_not_there_is_refused(own_folder, tokenizer):
    pytest.importorskip("datasets", reason="the package datasets (extra llm) is not installed")
    code = "from superdyn.cli import main; raise SystemExit(main())"
    command = [sys.executable, "-c", code, "tokens", "nobody/nothing", "out", "--tokenizer", tokenizer.path]
    offline = os.environ | {"HF_HUB_OFFLINE": "1"}
    shown = subprocess.run(command, capture_output=True, text=True, timeout=300, env=offline)
    assert (shown.returncode, shown.stdout) == (2, "")
    assert shown.stderr.startswith("superdyn: SOURCE=nobody/nothing: cannot be loaded as a data set: ")
    assert shown.stderr.count("\n") == 1


def refused_in_one_sentence(capsys, words):
    shown = capsys.readouterr().err
    assert shown.startswith("superdyn: ")
    assert shown.count("\n") == 1
    for word in words:
        assert word in shown


REFUSED = {
    "zen.txt out": ["--tokenizer"],
    "zen.txt --tokenizer TOKENIZER": ["OUT"],
    "none.txt out --tokenizer TOKENIZER": ["SOURCE=none.txt", "text files"],
    "none*.md out --tokenizer TOKENIZER": ["SOURCE=none*.md"],
    "latin.txt out --tokenizer TOKENIZER": ["latin.txt", "UTF-8"],
    "empty.txt out --tokenizer TOKENIZER": ["out", "no tokens"],
    "zen.txt out --tokenizer none.json": ["--tokenizer=none.json", "no such file"],
    "zen.txt out --tokenizer zen.txt": ["--tokenizer=zen.txt", "JSON"],
    "zen.txt out --tokenizer TOKENIZER --separator <eot>": ["--separator=<eot>"],
    "zen.txt out --tokenizer TOKENIZER --format npy": ["format='npy'", "headered, raw, megatron"],
    "zen.txt out --tokenizer TOKENIZER --shard-tokens 0": ["shard_tokens=0"],
    "zen.txt . --tokenizer TOKENIZER": ["new or empty folder"],
    "--inspect": ["--inspect"],
}


@pytest.mark.parametrize("command", REFUSED)
def test_wrong_input_is_refused_in_one_sentence(command, own_folder, tokenizer, capsys):
    (own_folder / "latin.txt").write_bytes("é".encode("latin-1"))
    (own_folder / "empty.txt").write_text("")
    assert main(["tokens", *command.replace("TOKENIZER", tokenizer.path).split()]) == 2
    refused_in_one_sentence(capsys, REFUSED[command])
    assert not list(own_folder.glob("out/*"))


def test_a_missing_package_is_named_with_its_remedy(own_folder, tokenizer, capsys, monkeypatch):
    for name in ("tokenizers", "transformers", "datasets"):
        monkeypatch.setitem(sys.modules, name, None)
    for source, chosen in (("zen.txt", tokenizer.path), ("zen.txt", "gpt2"), ("some/set", tokenizer.path)):
        assert main(["tokens", source, "out", "--tokenizer", chosen]) == 2
        refused_in_one_sentence(capsys, ["pip install 'superdyn[llm]'"])


def test_inspect_describes_files_and_names_their_problems(own_folder, tokenizer, capsys):
    command = ["tokens", "zen.txt", "out", "--tokenizer", tokenizer.path, "--format", "raw", "--separator", "<unk>"]
    assert main(command) == 0
    capsys.readouterr()
    path, high = own_folder / "out" / "tokens_000000.bin", max(all_tokens("out"))
    assert main(["tokens", "--inspect", "out"]) == 0
    assert f"raw  uint16  tokens {len(all_tokens('out'))}  ids 0 to {high}" in capsys.readouterr().out
    np.array([3, 1], dtype="<u2").tofile(own_folder / "loose.bin")
    assert main(["tokens", "--inspect", "loose.bin", "--vocab", "3"]) == 1
    assert "problem: loose.bin: token 0 has id 3; a vocabulary of 3 allows ids 0 to 2." in capsys.readouterr().out
    content = path.read_bytes()
    for damaged, problem in ((content[:-2], "was cut short"), (b"\1\0" + content[2:], "SHA-256"), (b"\1", "cut short")):
        path.write_bytes(damaged)
        assert main(["tokens", "--inspect", str(path)]) == 1
        assert problem in capsys.readouterr().out
    assert main(["tokens", "--inspect", "nothing.bin"]) == 1
    assert "problem: nothing.bin: no such file" in capsys.readouterr().out
