"""The draws of groups by a Triton kernel, by Triton's interpreter where Triton is installed; GPU: test_device_draws."""

from models.interpreted import NEEDS_TRITON, interpreted

INTERPRETED = """
import torch
from superdyn.config import RunConfig
from superdyn.features import group_draws
from superdyn.features.device_draws import DeviceDraws
from superdyn.features.group_draws import BatchSpan, drawn_by_kernel, drawn_by_torch

torch.use_deterministic_algorithms(True)  # fresh memory is filled: with what is not a number, and with large ones

def pack(n, densities, samples):
    mapping = {"model": {"name": "student", "width": 1, "activation": "relu"}, "optimizer": {"name": "sgd", "lr": 0.1},
               "trainer": {"max_steps": 9}}
    data = {"n_features": n, "batch_size": samples, "eval_size": 256, "data_exponent": 1.1,
            "importance_exponent": 0.0}
    seeds = (0, 1, 2**63 - 1)
    configs = [RunConfig.from_mapping(mapping | {"seed": seed, "data": data | {"density": density, "clip": True}})
               for seed, density in zip(seeds, densities)]
    return DeviceDraws(configs, torch.float64)

for n, densities, first, samples in (
    (45, (0.2, 1.0, 3.0), 0, 128), (1, (0.01, 0.5, 0.02), 7, 100), (128, (3.0, 2.0, 0.1), 10**15 + 3, 32),
    (20, (9.0, 0.2, 4.0), 5, 96),
):
    draws = pack(n, densities, samples)
    tables = draws.tables
    batches = BatchSpan(samples, 3, draws.most_certain)
    expected = drawn_by_torch(tables, first, batches)
    cells, uniforms, counts = drawn_by_kernel(torch.tensor(first), *tables, *batches)
    assert torch.equal(counts, expected.counts) and 0 < counts.sum()
    drawn = torch.arange(cells.shape[2]) < tables.caps[:, None, None]
    assert torch.equal(cells[drawn.expand_as(cells)], expected.cells[drawn.expand_as(cells)])
    of_certain = torch.arange(draws.most_certain).repeat(64) < tables.certain[:, None, None]
    drawn = torch.cat([drawn, of_certain], dim=2).expand_as(uniforms)
    assert torch.equal(uniforms[drawn], expected.uniforms[drawn])
    print(cells.shape[2], draws.most_certain, end=" ")

    table = torch.linspace(0.0, 1.0, 9, dtype=torch.float64)[1:]
    draws._quantile = lambda u: table[(u * 8).long()]
    by_torch = draws.points(first, 3)
    real = group_draws.drawn_by_torch
    group_draws.drawn_by_torch = lambda tables, step, span: group_draws.GroupPoints(
        *drawn_by_kernel(torch.tensor(step), *tables, *span)
    )
    by_kernel = draws.points(first, 3)
    group_draws.drawn_by_torch = real
    assert torch.equal(by_kernel.places, by_torch.places) and torch.equal(by_kernel.values, by_torch.values)
"""


@NEEDS_TRITON
def test_a_kernel_draws_the_words_counts_and_cells_of_torch():
    found = [int(number) for number in interpreted(INTERPRETED).split()]
    caps, certain = found[::2], found[1::2]
    assert len(caps) == 4
    assert certain[-1] > 1
    assert min(caps) < 128  # one program
    assert max(caps) > 256  # several
