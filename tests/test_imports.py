"""Data flows one way: no room imports a room to its right, no files form a circle, and reading files needs no torch."""

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import superdyn

SOURCE = Path(superdyn.__file__).parent
PLUGINS = SOURCE.parent / "hydra_plugins" / "superdyn_plugins.py"
STREAM = ["config", "features", "models", "training", "runs", "analysis", "report"]
BESIDE = {"atomic": "config", "kernels": "config", "conf_path": "config", "installed": "config", "theory": "features"}
ON_TOP = {
    "sweeps",
    "cli",
    "hydra_app",
    "reproduce",
    "retry",
    "refusals",
    "doctor",
    "bench",
    "tokens_command",
    "evaluate",
    "verify",
}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__")


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


def imported_files(path, files):
    """Names of our files that a file imports anywhere, under TYPE_CHECKING and inside of functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import, which is not followed here"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in files else node.module for name in names]
        else:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        yield from (name for name in names if name in files)


def test_no_files_import_each_other_in_a_circle():
    files = {module_name(path): path for path in (*SOURCE.rglob("*.py"), PLUGINS)}
    graph = {name: {*imported_files(path, files)} for name, path in files.items()}
    assert graph["superdyn.retry"] >= {"superdyn.sweeps.sweep", "superdyn.hydra_app"}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the files


def test_analysis_report_and_theory_import_no_torch_not_even_late():
    own = [path for path in FILES if room_of(path) in ("analysis", "report", "theory")]
    names = {module_name(path) for path in own}
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
