"""Settings that change nothing where a launch trains are remarked on once, in one sentence, and trained with."""

import pytest
from training.token_runs import TOKENS

from superdyn.sweeps.idle_settings import warn_of_idle_settings

TWO_STEPS = {"trainer__max_steps": 2}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"trainer__matmul": "tf32"}, r"^trainer\.matmul=tf32: a CPU multiplies rounded operands no faster"),
        ({"trainer__strategy": "ddp"}, r"^trainer\.strategy=ddp: .* with trainer\.devices=1 it trains as .*single"),
        ({"optimizer__final_fraction": 0.1}, r"^optimizer\.final_fraction=0\.1: .* with optimizer\.schedule=constant"),
    ],
)
def test_a_setting_that_changes_nothing_here_is_said_once_and_not_when_all_is_done(
    changes, sentence, make_config, train_together, recwarn
):
    configs = [make_config(**TWO_STEPS, **changes, seed=seed) for seed in (0, 1)]
    with pytest.warns(UserWarning, match=sentence) as remarks:
        folders = train_together(configs)
    assert len(remarks) == 1
    assert [folder.status().state for folder in folders] == ["done", "done"]
    train_together(configs)
    assert not recwarn.list


def test_an_exponent_of_token_files_is_remarked_on(make_config):
    files = {**TOKENS, "data__tokens": {"source": "files", "files": ["a.bin"]}, "data__data_exponent": 2.0}
    with pytest.warns(UserWarning, match=r"^data\.data_exponent=2\.0: is of synthetic languages"):
        warn_of_idle_settings([make_config(**files)])


def test_what_a_gpu_or_several_devices_will_use_is_not_remarked_on(make_config, recwarn):
    gpu = {"trainer__accelerator": "gpu", "trainer__matmul": "tf32"}
    warn_of_idle_settings([make_config(**gpu), make_config(trainer__devices=2, trainer__strategy="ddp")])
    assert not recwarn.list
