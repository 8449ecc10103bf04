"""A launch that adds another study's runs to a folder says so once; adding points to one's own study says nothing."""

import pytest

from superdyn.runs.sweep_folder import run_folders
from superdyn.sweeps.other_study import OtherStudyWarning


def test_another_experiment_in_the_folder_of_a_study_is_remarked_on_once(sweep, recwarn):
    folder = "hydra.sweep.dir=here"
    first = sweep("experiment=sequential", "data.density=0.9", "data.batch_size=256", folder)
    sentence = (
        r"^here holds 6 runs of the study sequential, and this launch adds 18 of bottleneck: .* hydra\.sweep\.dir"
    )
    with pytest.warns(OtherStudyWarning, match=sentence):
        second = sweep("experiment=bottleneck", "seed=0", folder)
    assert (first.done, second.done) == (6, 18)
    sweep("experiment=bottleneck", "seed=0", folder)
    assert not [w for w in recwarn if w.category is OtherStudyWarning]


def test_a_launch_without_a_name_that_differs_in_several_fixed_settings_is_remarked_on(sweep, sweep_plan):
    sweep("seed=0,1")
    sentence = r"runs/train holds 2 runs, and all 2 .* differ from them in .*model\.name, .*optimizer\.name: .* name="
    with pytest.warns(OtherStudyWarning, match=sentence):
        sweep_plan("seed=0,1", "model=elhage", "optimizer=adam")
    with pytest.warns(OtherStudyWarning, match=sentence):
        sweep("seed=0,1", "model=elhage", "optimizer=adam")


@pytest.mark.parametrize(
    "more",
    [
        ["seed=range(4)", "model.width=4,8"],
        ["seed=7", "model.width=4,8"],
        pytest.param(["seed=0", "model.width=12"], marks=pytest.mark.slow),
        ["seed=0,1", "model.width=4,8", "optimizer=adam"],
        pytest.param(["seed=0,1", "model.width=4,8", "data.data_exponent=2"], marks=pytest.mark.slow),
    ],
    ids=["seeds", "another seed", "a width", "a rule", "a data law"],
)
def test_points_seeds_and_axes_are_added_to_a_study_without_a_remark(more, sweep, recwarn):
    sweep("name=mine", "seed=0,1", "model.width=4,8")
    sweep("name=mine", *more)
    assert not recwarn.list


def test_a_damaged_configuration_beside_the_new_runs_does_not_stop_them(sweep):
    (run, _) = run_folders(sweep("seed=0,1").sweep_dir)
    (run.path / "config.yaml").write_text("{")
    assert sweep("seed=2,3").done == 2
