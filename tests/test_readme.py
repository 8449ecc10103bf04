"""What the pages say exists, exists: paths, verbs, and overrides that compose."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from superdyn.cli import _parser
from superdyn.hydra_app import train

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PATH = re.compile(r"`((?:conf|src|scripts|tests|docs)/[^\s`]*)`")
FENCE = re.compile(r"^```[a-z]*\n(.*?)^```", re.DOTALL | re.MULTILINE)
SHELL = re.compile(r"^```bash\n(.*?)^```", re.DOTALL | re.MULTILINE)
PLACEHOLDER = re.compile(r"[<>…{}]|\.\.\.")


def commands(page):
    """(folder, words) of every `superdyn …` line in the page's code blocks; `cd folder &&` before it is understood."""
    for block in FENCE.findall(page.read_text(encoding="utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            found = re.search(r"(?:^|[\s/$])superdyn\s+(.*)", line.partition(" #")[0])
            if found and "=" not in line.partition("superdyn")[0].split(" ")[-1]:
                folder = re.search(r"\bcd (\S+) &&", line)
                words = shlex.split(re.split(r"\s[|&;>]", found.group(1))[0])
                yield ROOT / (folder.group(1) if folder else ""), words


def verbs():
    (choices,) = (action.choices for action in _parser()._actions if action.choices)
    return set(choices)


ALL = [(page, folder, words) for page in PAGES for folder, words in commands(page)]
TRAIN = [(folder, words[1:]) for _, folder, words in ALL if words[:1] == ["train"]]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_that_a_page_names_exists(page):
    for name in PATH.findall(page.read_text(encoding="utf-8")):
        if not PLACEHOLDER.search(name):
            assert list(ROOT.glob(name.split("::")[0].rstrip("/"))), f"{page.name} names {name}"


def test_every_verb_in_a_code_block_is_one():
    for page, _, words in ALL:
        assert words, page.name
        assert words[0] in verbs() | {"--help", "-h"}, f"{page.name}: superdyn {' '.join(words)}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_shell_block_can_be_pasted_into_a_shell(page):
    for block in SHELL.findall(page.read_text(encoding="utf-8")):
        lines = "\n".join(line for line in block.splitlines() if not PLACEHOLDER.search(line))
        checked = subprocess.run(["bash", "-n"], input=lines, capture_output=True, text=True, check=False)
        assert not checked.returncode, f"{page.name}: {checked.stderr}"


@pytest.mark.parametrize(("folder", "words"), TRAIN, ids=lambda value: " ".join(value) if type(value) is list else "")
def test_every_training_command_of_a_page_composes(folder, words, monkeypatch, capsys):
    if PLACEHOLDER.search(" ".join(words)):
        pytest.skip("the reader fills in a part of it")
    monkeypatch.chdir(folder)
    overrides = [_first_value(word) for word in words if "=" in word and not word.startswith("-")]
    flags = [word for word in words if "=" not in word or word.startswith("-")]
    # One configuration is shown, so of a swept key the first value stands for all.
    train([*(flag for flag in flags if flag not in ("-m", "--multirun")), "--cfg", "job", "--resolve", *overrides])
    assert "n_features:" in capsys.readouterr().out


def _first_value(override):
    key, _, value = override.partition("=")
    counted = re.fullmatch(r"range\((\d+).*\)", value)
    first = "0" if counted else value if value.startswith(("[", "{", "'", "$")) else value.split(",")[0]
    return f"{key}={first}"
