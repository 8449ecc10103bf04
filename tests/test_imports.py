"""Data flows one way: no room imports a room to its right, and reading files needs no torch."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import superdyn

SOURCE = Path(superdyn.__file__).parent
STREAM = ["config", "features", "models", "training", "runs", "analysis", "report"]
BESIDE = {"atomic": "config", "conf_path": "config", "installed": "config", "theory": "features"}
ON_TOP = {
    "sweeps",
    "cli",
    "hydra_app",
    "reproduce",
    "refusals",
    "doctor",
    "bench",
    "tokens_command",
    "evaluate",
    "verify",
}


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported_rooms(path):
    for node in ast.walk(ast.parse(path.read_text())):
        names = [node.module] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in filter(None, names):
            if name.startswith("superdyn."):
                yield name.split(".")[1]


FILES = [path for path in sorted(SOURCE.rglob("*.py")) if path.parent != SOURCE or path.stem != "__init__"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_import_goes_against_the_stream(path):
    room = room_of(path)
    if room in ON_TOP:
        return
    place = STREAM.index(BESIDE.get(room, room))
    for imported in imported_rooms(path):
        assert imported not in ON_TOP, f"{room} imports {imported}"
        assert STREAM.index(BESIDE.get(imported, imported)) <= place, f"{room} imports {imported}"


def imported_modules(path):
    """Our modules that a file imports anywhere, inside of functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = [node.module] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        yield from (name for name in filter(None, names) if name.startswith("superdyn"))


def test_analysis_report_and_theory_import_no_torch_not_even_late():
    own = [path for path in FILES if room_of(path) in ("analysis", "report", "theory")]
    names = {".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__") for path in own}
    names |= {"superdyn.runs.folder", "superdyn.hydra_app", *(name for path in own for name in imported_modules(path))}
    assert "superdyn.analysis.claims.token_width" in names
    imports = "; ".join(f"import {name}" for name in sorted(names))
    code = f"import sys; {imports}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
    for path in own:
        assert not re.search(r"^\s*(import|from) torch\b", path.read_text(), re.MULTILINE), path


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_files_are_short_and_say_what_they_are(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 250
    assert path.name not in ("utils.py", "common.py", "helpers.py", "base.py")
    assert path.name == "__init__.py" or ast.get_docstring(ast.parse(text))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_functions_are_short(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= 55, f"{node.name} has {length} lines"
