"""The wheel alone, in an environment outside the checkout, trains."""

import json
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WHERE = """
import json, hydra_plugins.superdyn_plugins, superdyn, superdyn.conf_path
print(json.dumps([superdyn.__file__, str(superdyn.conf_path.conf_path()), hydra_plugins.superdyn_plugins.__file__]))
"""


def run(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=600, **options)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT))
    (path,) = folder.glob("superdyn-*.whl")
    return path


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """The interpreter of a fresh environment that holds the wheel.

    What the wheel depends on is lent by this environment as plain `sys.path` entries: a `.pth` file in a lent folder,
    such as that of an editable superdyn, is not read.
    """
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=False)
    place = Path(sysconfig.get_path("purelib", vars={"base": str(home), "platbase": str(home)}))
    run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(place), str(wheel))
    lent = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (place / "lent.pth").write_text("\n".join(sorted(lent)) + "\n")
    return home / "bin" / "python"


def test_the_wheel_holds_the_configuration_of_the_checkout(wheel):
    with zipfile.ZipFile(wheel) as archive:
        packed = {n: archive.read(n) for n in archive.namelist() if n.startswith("superdyn/conf/")}
    conf = ROOT / "conf"
    files = [path for path in conf.rglob("*") if path.is_file()]
    assert packed == {f"superdyn/conf/{path.relative_to(conf).as_posix()}": path.read_bytes() for path in files}


def test_everything_comes_from_the_wheel(python, tmp_path):
    for file in json.loads(run(python, "-c", WHERE, cwd=tmp_path).stdout):
        assert Path(file).is_relative_to(python.parents[1])
        assert not Path(file).is_relative_to(ROOT)


def test_the_wheel_trains_two_steps_in_an_empty_folder(python, tmp_path):
    command = [python, "-c", "import sys; from superdyn.cli import main; sys.exit(main())", "train"]
    shown = run(*command, "trainer.max_steps=2", "data.n_features=16", "logger=none", cwd=tmp_path)
    assert "1 done (0 before), 0 failed" in shown.stdout
    (status,) = tmp_path.glob("runs/train/*/status.json")
    assert json.loads(status.read_text())["state"] == "done"
