"""A launch takes the runs that nobody trains, and each run is taken by one process."""

import subprocess
import sys
from pathlib import Path

from superdyn.config import RunConfig
from superdyn.runs.folder import RunFolder
from superdyn.sweeps.launch import Launch
from superdyn.sweeps.points import Point

CONFIG = RunConfig.from_mapping(
    {
        "data": {"n_features": 8, "data_exponent": 1.0, "importance_exponent": 0.0},
        "model": {"name": "trained_embedding", "width": 4},
        "optimizer": {"name": "sgd", "lr": 0.1},
        "trainer": {"max_steps": 10},
    }
)


def take_all(root: Path, names: list[str]) -> list[str]:
    points = tuple(Point((), CONFIG, RunFolder(root / name)) for name in names)
    return [point.folder.name for point in Launch(root, points).take(points, 0)]


def test_a_run_that_another_process_trains_is_not_taken(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1])\n"
        "from sweeps.test_launch import take_all\n"
        "print(*take_all(Path(sys.argv[2]), [str(i) for i in range(30)])); sys.stdout.flush(); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(Path(__file__).parents[1]), str(tmp_path)]
    pipe = subprocess.PIPE
    processes = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(3)]
    taken = [process.stdout.readline().split() for process in processes]  # pyright: ignore[reportOptionalMemberAccess]
    assert take_all(tmp_path, ["0", "1", "one more"]) == ["one more"]
    for process in processes:
        process.communicate("")
    assert sorted(int(name) for names in taken for name in names) == list(range(30))
