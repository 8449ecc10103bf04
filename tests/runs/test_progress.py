"""Progress: a live line on a terminal, few plain lines elsewhere, nothing when it is not wanted."""

import io

import pytest
from rich.console import Console
from tiny_pack import TinyPack, fit, make_config

from superdyn.runs import live_display, progress
from superdyn.runs.progress import Progress

pytestmark = pytest.mark.filterwarnings(
    # Lightning 2.6 asks torch about tree leaves in a way that torch 2.13 deprecates.
    "ignore:`isinstance.treespec, LeafSpec.`:FutureWarning"
)


def show(*packs: TinyPack, terminal: bool = False, total: int = 4, done: int = 1) -> str:
    out = io.StringIO()
    shown = Progress(total, done, Console(file=out, width=200, force_terminal=terminal))
    for pack in packs:
        fit(pack, [shown])
    return out.getvalue()


def pack(*seeds: int, on: bool = True) -> TinyPack:
    return TinyPack([make_config(seed, progress=on) for seed in seeds])


def test_a_pipe_gets_a_line_at_the_start_and_one_at_the_end() -> None:
    first, last = show(pack(0, 1)).splitlines()
    assert first.startswith("1/4 runs finished · 2 in training · step 0/100")
    assert last.startswith("3/4 runs finished · step 100/100")
    assert "median loss" in last


def test_a_slow_run_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_display, "LINE_SECONDS", 0.0)
    lines = show(pack(0)).splitlines()
    assert len(lines) == 1 + 11 + 1  # start, one a chunk, end
    assert lines[5].endswith("0:00 min left")


def test_the_count_goes_on_from_pack_to_pack() -> None:
    lines = show(pack(0), pack(1, 2), total=4, done=1).splitlines()
    assert [line.split(" · ")[0] for line in lines] == [f"{n}/4 runs finished" for n in (1, 2, 2, 4)]


def test_a_terminal_gets_one_line_that_is_redrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "REDRAW_SECONDS", 0.0)
    text = show(pack(0), terminal=True)
    assert "step 50/100" in text
    assert text.count("\x1b[2K") >= 10  # erase line: drawn over, not scrolled


def test_nothing_is_shown_where_progress_is_off() -> None:
    assert show(pack(0, on=False)) == ""


def test_an_error_leaves_the_last_line_above_it() -> None:
    broken = TinyPack([make_config(progress=True)], fail_at=55)
    out = io.StringIO()
    with pytest.raises(RuntimeError):
        fit(broken, [Progress(1, 0, Console(file=out, width=200))])
    assert "step 55/100" in out.getvalue().splitlines()[-1]
