"""The draws on the device against those of the host."""

import numpy as np
import pytest
import torch

from superdyn.features import device_draws
from superdyn.features.device_draws import DeviceDraws, DrawnAhead, can_draw_on_device
from superdyn.features.device_quantiles import QUANTILES
from superdyn.features.generator import Stream, uniforms
from superdyn.features.philox import philox_uniforms, signed
from superdyn.features.sampler import make_sampler


@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1])
@pytest.mark.parametrize("first", [0, 12_345_678_901])
def test_the_words_are_those_of_numpys_generator(seed, first):
    expected = uniforms(seed, Stream.TRAIN, first, 500, words=4)
    blocks = torch.arange(first, first + 500)
    keys = (torch.full_like(blocks, signed(word)) for word in (seed, int(Stream.TRAIN)))
    np.testing.assert_array_equal(philox_uniforms(blocks, *keys).numpy(), expected)


def written_out(points, shape):
    x = torch.zeros(len(points.values), int(np.prod(shape)) + 1, dtype=points.values.dtype)
    for t in range(len(x)):
        x[t, points.places[t]] = points.values[t]
    assert (x[:, -1] == 0).all()
    return x[:, :-1].view(-1, *shape)


@pytest.mark.parametrize(
    ("law", "batch_size", "density"),
    [*((law, 128, 0.4) for law in sorted(QUANTILES)), *(("uniform", size, 0.4) for size in (1, 32, 64, 65, 96, 200)),
     ("half_normal", 128, 4.0), ("signed", 100, 4.0)],
)  # fmt: skip
def test_the_batches_are_those_of_the_host(law, batch_size, density, run_config):
    own = [{"density": density * s + 0.2, "data_exponent": 0.5 + s, "clip": True} for s in range(3)]
    configs = [run_config(top={"seed": s}, value_law=law, batch_size=batch_size, **own[s]) for s in range(3)]
    assert all(can_draw_on_device(config) for config in configs)
    draws = DeviceDraws(configs, torch.float64)
    assert (draws.tables.certain > 0).tolist() == [False, density > 1, density > 1]
    x = written_out(draws.points(9, 5), (3, batch_size, configs[0].data.n_features))
    for r, config in enumerate(configs):
        host = make_sampler(config.data, config.seed).draw(Stream.TRAIN, 9, 5, dtype=np.float64)
        np.testing.assert_array_equal(x[:, r].numpy() != 0, host != 0)
        np.testing.assert_allclose(x[:, r].numpy(), host, rtol=1e-12)


@pytest.mark.parametrize(
    "change",
    [{"sampler": "dense"}, {"n_features": 1, "density": 1.0, "clip": True},
     {"top": {"loss": "population"}}],
)  # fmt: skip
def test_other_data_are_drawn_by_the_host(change, run_config):
    assert not can_draw_on_device(run_config(**{"batch_size": 128, **change}))


def test_blocks_drawn_ahead_serve_chunks_that_end_early(run_config, monkeypatch):
    configs = [run_config(top={"seed": s}, batch_size=128, trainer={"compile": False}) for s in range(2)]
    draws = DeviceDraws(configs, torch.float64)
    monkeypatch.setattr(device_draws, "_BLOCK_BYTES", 5 * draws.step_bytes)
    ahead = DrawnAhead(configs, torch.float64, torch.device("cpu"))
    drawn = []
    monkeypatch.setattr(ahead, "_points", lambda first, n: drawn.append(int(first)) or draws.points(first, n))
    chunks = [(0, 1), (1, 2), (2, 12), (30, 31)]
    parts = [part for chunk in chunks for part in ahead.parts(*chunk)]
    assert [first for first, _ in parts] == [0, 1, 2, 5, 10, 30]
    assert drawn == [0, 5, 10, 30]
    expected = draws.points(0, 12)
    assert torch.equal(torch.cat([points.places for _, points in parts[:-1]]), expected.places)
    assert torch.equal(torch.cat([points.values for _, points in parts[:-1]]), expected.values)


@pytest.mark.gpu
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(
    ("law", "batch_size", "density"),
    [
        ("uniform", 128, 1.0),
        ("half_normal", 128, 1.0),
        ("uniform", 32, 1.0),
        ("uniform", 100, 1.0),
        ("uniform", 96, 2.0),
    ],
)
def test_a_gpu_draws_the_points_of_the_cpu(law, batch_size, density, compiled, run_config):
    configs = [
        run_config(
            top={"seed": 2**62 + s},
            value_law=law,
            batch_size=batch_size,
            density=density,
            data_exponent=0.2 + s,
            clip=True,
        )
        for s in range(3)
    ]
    draws = DeviceDraws(configs, torch.float64)
    expected = draws.points(10**9, 5)
    drawn = draws.to("cuda").points
    drawn = torch.compile(drawn, dynamic=False) if compiled else drawn
    found = drawn(torch.full((), 10**9, device="cuda"), 5)
    assert torch.equal(found.places.cpu(), expected.places)  # in the same order, though found in another way
    torch.testing.assert_close(found.values.cpu(), expected.values, rtol=1e-12, atol=0.0)
