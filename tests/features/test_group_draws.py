"""The draws of groups by a Triton kernel, by Triton's interpreter where Triton is installed; GPU: test_device_draws."""

from models.interpreted import NEEDS_TRITON, interpreted

INTERPRETED = """
import torch
from superdyn.config import RunConfig
from superdyn.features.device_draws import DeviceDraws
from superdyn.features.group_draws import GroupTables, drawn_by_kernel, drawn_by_torch

def pack(n, densities, samples):
    mapping = {"model": {"name": "student", "width": 1, "activation": "relu"}, "optimizer": {"name": "sgd", "lr": 0.1},
               "trainer": {"max_steps": 9}}
    data = {"n_features": n, "batch_size": samples, "eval_size": 256, "data_exponent": 1.1,
            "importance_exponent": 0.0}
    seeds = (0, 1, 2**63 - 1)
    configs = [RunConfig.from_mapping(mapping | {"seed": seed, "data": data | {"density": density}})
               for seed, density in zip(seeds, densities)]
    return DeviceDraws(configs, torch.float64)

for n, densities, first, samples in (
    (45, (0.2, 1.0, 3.0), 0, 128), (1, (0.01, 0.5, 0.02), 7, 100), (128, (3.0, 2.0, 0.1), 10**15 + 3, 32)
):
    draws = pack(n, densities, samples)
    tables = GroupTables(draws.keys, draws.blocks, draws.caps, draws.count_cdf, draws.rates)
    expected = drawn_by_torch(tables, first, samples, 3)
    cells, uniforms, counts = drawn_by_kernel(torch.tensor(first), *tables, samples, 3)
    assert torch.equal(counts, expected.counts) and 0 < counts.sum()
    drawn = torch.arange(cells.shape[2]) < draws.caps[:, None, None]
    assert torch.equal(cells[drawn.expand_as(cells)], expected.cells[drawn.expand_as(cells)])
    assert torch.equal(uniforms[drawn.expand_as(cells)], expected.uniforms[drawn.expand_as(cells)])
    print(draws.largest_cap, end=" ")
"""


@NEEDS_TRITON
def test_a_kernel_draws_the_words_counts_and_cells_of_torch():
    caps = [int(cap) for cap in interpreted(INTERPRETED).split()]
    assert len(caps) == 3
    assert min(caps) < 128  # one program
    assert max(caps) > 256  # several
