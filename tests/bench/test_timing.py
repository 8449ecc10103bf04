"""Speeds come from differences long enough to tell, between trainings whose lengths have been trained before."""

from types import SimpleNamespace

import pytest

from superdyn.bench import timing
from superdyn.bench.timing import Job, rates, settled

STEP = 1e-4
"""Seconds."""


class Trainer:
    """Its trainings move a clock on: by their steps, by compiling each length anew, and by what else the host does."""

    def __init__(self, monkeypatch, hiccups=(), step=STEP):
        self.now, self.trained, self.hiccups, self.step = 0.0, [], iter(hiccups), step
        monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: self.now))

    def train(self, steps):
        self.now += steps * self.step + (0.0 if steps in self.trained else 5.0) + next(self.hiccups, 0.0)
        self.trained.append(steps)


def test_what_is_compiled_for_a_length_does_not_count(monkeypatch):
    trainer = Trainer(monkeypatch)
    job = Job(trainer.train, 1.0)
    short = settled(job, 0.75)
    assert 0.75 <= 3 * short * STEP < 1.5
    assert rates(job, short, 0.75, 5) == pytest.approx([1 / STEP] * 5)


def test_trainings_are_lengthened_until_every_repetition_tells(monkeypatch):
    trainer = Trainer(monkeypatch)
    for steps in (4096, 4 * 4096):
        trainer.train(steps)
    trainer.hiccups = iter([0.0] * 4 + [2.0])  # the third pair's shorter training is held up for more than it differs
    assert rates(Job(trainer.train, 1.0), 4096, 0.75, 5) == pytest.approx([1 / STEP] * 5)
    assert trainer.trained.count(4096) == 4  # the pair that told nothing, and no more of that length
    assert max(trainer.trained) > 4 * 4096


def test_a_length_found_while_the_host_was_busy_is_found_again(monkeypatch):
    trainer = Trainer(monkeypatch)
    assert rates(Job(trainer.train, 1.0), 2, 0.75, 5) == pytest.approx([1 / STEP] * 5)


@pytest.mark.parametrize("hiccups", [(), [0.0, 0.0, 1.0, 0.0] * 10_000])
def test_a_speed_that_cannot_be_told_is_an_error(hiccups, monkeypatch):
    trainer = Trainer(monkeypatch, hiccups, step=1e-9)
    job = Job(trainer.train, 1.0)
    short = settled(job, 0.75)
    assert short == 2**16
    with pytest.raises(RuntimeError, match=r"262,144 steps took .* s longer than 65,536"):
        rates(job, short, 0.75, 5)


def test_no_repetition_is_begun_after_the_limit():
    job = Job(lambda steps: None, 1.0, whole=10)
    assert len(rates(job, settled(job, 0.0), 0.0, 5)) == 5
    assert len(rates(job, 2, 0.0, 5, limit=-1.0)) == 1
