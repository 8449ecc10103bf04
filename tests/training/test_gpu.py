"""On a GPU: a run agrees with the CPU's to rounding, and packed agrees with solo. Skipped where there is none."""

import numpy as np
import pytest
import torch

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


def test_a_run_on_the_gpu_agrees_with_the_cpu(make_config, train_together):
    losses = []
    for accelerator in ("cpu", "gpu"):
        config = make_config(trainer__accelerator=accelerator, trainer__precision="64-true")
        (folder,) = train_together([config], accelerator)
        losses.append(folder.curve()["loss"])
    np.testing.assert_allclose(*losses, rtol=1e-8)


def test_packed_agrees_with_solo_on_the_gpu(make_config, train_together):
    configs = [make_config(seed=s, trainer__accelerator="gpu") for s in range(3)]
    packed = train_together(configs, "packed")
    (solo,) = train_together(configs[1:2], "solo")
    np.testing.assert_allclose(packed[1].curve()["loss"], solo.curve()["loss"], rtol=1e-4)
