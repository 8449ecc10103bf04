"""Names of revisions, their steps, and the public schedule."""

import pytest

from superdyn.evaluate.revisions import chosen_revisions, public_names, step_of


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("step0", 0),
        ("step143000", 143000),
        ("checkpoint-1500", 1500),
        ("stage1-step123-tokens45B", 123),
        ("step1000-tokens4B", 1000),
        ("global_step20", 20),
        ("iter_0000100", 100),
        ("500", 500),
        ("main", None),
        ("v1.0", None),
        ("timestep", None),
        ("timestep5", None),
    ],
)
def test_the_step_is_read_from_the_name(name, step):
    assert step_of(name) == step


def test_the_public_schedule_is_that_of_pythia():
    found = chosen_revisions("public", None)
    assert len(found) == len(public_names()) == 154
    assert [each.step for each in found[:13]] == [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000, 2000]
    assert (found[-1].step, found[-1].name) == (143_000, "step143000")


def test_auto_leaves_out_names_without_a_step_and_a_pattern_chooses():
    names = ["main", "stage2-step5-tokens1B", "stage1-step20-tokens2B", "stage1-step5-tokens1B"]
    assert [each.name for each in chosen_revisions("auto", names, r"stage1-step(\d+)")] == names[3:1:-1]
    with pytest.raises(ValueError, match=r"are both step 5; choose with --step-pattern"):
        chosen_revisions("auto", names)


def test_given_steps_go_with_the_names():
    found = chosen_revisions("late, early", None, steps="9,3")
    assert [(each.step, each.name) for each in found] == [(3, "early"), (9, "late")]
    for wrong in ("9", "9,x"):
        with pytest.raises(ValueError, match=r"^--steps"):
            chosen_revisions("late,early", None, steps=wrong)
