"""Superposition measures against brute force and against geometries whose values are known."""

import math

import pytest
import reference
import torch
from torch import Tensor

from superdyn.models import measures
from superdyn.models.measures import (
    feature_dimensionality,
    off_diagonal_energy,
    row_statistics,
    superposition_measures,
)


def dimensionalities(rows: Tensor) -> Tensor:
    return feature_dimensionality(rows[None], row_statistics(rows[None]))[0]


def of(rows: Tensor) -> dict[str, float]:
    return {name: float(value[0]) for name, value in superposition_measures(rows.T[None]).items()}


@pytest.mark.parametrize("block", [4, 4096])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_measures_equal_the_definitions_in_any_blocks(dtype: torch.dtype, block: int, monkeypatch):
    monkeypatch.setattr(measures, "_BLOCK", block)
    rows = (torch.randn(13, 7) * torch.logspace(-1, 0.5, 13)[:, None]).to(dtype)
    assert of(rows) == pytest.approx(reference.superposition(rows.double()), rel=1e-12)


def test_orthogonal_rows_have_a_dimension_each():
    rows = 3 * torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64))[0]
    torch.testing.assert_close(dimensionalities(rows), torch.ones(6, dtype=torch.float64))
    assert of(rows)["mean_square_overlap"] == pytest.approx(0, abs=1e-15)
    assert of(rows)["participation_ratio"] == pytest.approx(6)


def test_antipodal_pairs_share_a_dimension_by_halves():
    axes = torch.eye(4, dtype=torch.float64)
    torch.testing.assert_close(dimensionalities(torch.cat([axes, -axes])), torch.full((8,), 0.5, dtype=torch.float64))
    assert of(torch.cat([axes, -axes]))["dimensions_per_feature"] == pytest.approx(0.5)


def test_a_pentagon_gives_two_fifths_each():
    angle = torch.arange(5, dtype=torch.float64) * (2 * math.pi / 5)
    pentagon = torch.stack([angle.cos(), angle.sin()], dim=1)
    torch.testing.assert_close(dimensionalities(pentagon), torch.full((5,), 2 / 5, dtype=torch.float64))


@pytest.mark.parametrize(("n", "k"), [(5, 8), (64, 8), (300, 17)])
def test_dimensionalities_never_add_up_to_more_than_the_width(n: int, k: int):
    rows = torch.randn(n, k) * torch.rand(n, 1)
    assert float(dimensionalities(rows).sum()) <= k * (1 + 1e-12)


def test_random_directions_overlap_by_one_over_the_width():
    k, n = 64, 512
    overlap = of(torch.randn(n, k, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))[
        "mean_square_overlap"
    ]
    # cos² of two random directions is Beta(1/2, (k−1)/2); distinct pairs are uncorrelated.
    variance = 2 * (k - 1) / (k**2 * (k + 2))
    assert abs(overlap - 1 / k) < 4 * math.sqrt(variance / (n * (n - 1) / 2))


def test_zero_rows_are_features_without_a_direction():
    rows = torch.zeros(5, 3)
    rows[1, 0], rows[3, 1] = 2.0, 0.4
    torch.testing.assert_close(dimensionalities(rows), torch.tensor([0, 1, 0, 1, 0], dtype=torch.float64))
    assert of(rows)["represented_fraction"] == pytest.approx(1 / 5)
    assert of(rows)["mean_square_overlap"] == 0


def test_a_zero_matrix_has_no_overlap_to_speak_of():
    result = of(torch.zeros(5, 3))
    assert (result["represented_fraction"], result["mean_feature_dimensionality"]) == (0, 0)
    assert result["dimensions_per_feature"] == math.inf
    assert math.isnan(result["mean_square_overlap"])
    assert math.isnan(result["participation_ratio"])


@pytest.mark.parametrize(("k", "n"), [(7, 13), (32, 64), (200, 333)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_member_is_measured_alike_alone_and_in_a_pack(k: int, n: int, dtype: torch.dtype):
    pack, cores = torch.randn(7, k, n, dtype=dtype), torch.randn(7, k, k, dtype=dtype)
    stacked, energy = superposition_measures(pack), off_diagonal_energy(pack, cores, pack)
    for r in range(7):
        one, core = pack[r : r + 1].clone(), cores[r : r + 1].clone()
        single = superposition_measures(one)
        assert all(torch.equal(stacked[name][r], single[name][0]) for name in stacked)
        assert torch.equal(energy[r], off_diagonal_energy(one, core, one)[0])


def test_off_diagonal_energy_is_that_of_the_whole_jacobian():
    encoder, decoder, core = torch.randn(2, 4, 9), torch.randn(2, 4, 9), torch.randn(2, 4, 4)
    jacobian = decoder.double().mT @ core.double() @ encoder.double()
    diagonal = jacobian.diagonal(dim1=1, dim2=2).square().sum(dim=1)
    expected = 1 - diagonal / jacobian.square().sum(dim=(1, 2))
    torch.testing.assert_close(off_diagonal_energy(encoder, core, decoder), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("parts", ["core", "tied embedding", "tied embedding, core"])
def test_parts_that_are_the_identity_need_not_be_given(parts: str):
    eye, core = torch.eye(5).expand(2, -1, -1), torch.randn(2, 5, 5)
    embedding = eye if parts == "core" else torch.randn(2, 5, 9)
    given = embedding, core if "core" in parts else eye, embedding
    rest = None if parts == "core" else embedding
    left_out = off_diagonal_energy(rest, core if "core" in parts else None, rest)
    torch.testing.assert_close(left_out, off_diagonal_energy(*given), rtol=1e-12, atol=0)


def test_an_identity_model_has_no_off_diagonal_energy_and_an_empty_one_no_share():
    eye = torch.eye(3)[None]
    assert float(off_diagonal_energy(eye, eye, eye)) == pytest.approx(0, abs=1e-15)
    assert math.isnan(float(off_diagonal_energy(eye, 0 * eye, eye)))
