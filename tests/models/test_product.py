"""A member's product has the same bits alone and in a pack, whatever the shapes, forward and backward."""

import pytest
import torch

from superdyn.models import product as rule
from superdyn.models.numpy_product import numpy_product, one_blas_thread
from superdyn.models.product import multiply, product

SHAPES = [(256, 64, 32), (128, 48, 80), (17, 13, 7), (100, 60, 30), (1, 64, 32), (33, 31, 29), (16, 16, 16), (5, 3, 2)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_bits_do_not_depend_on_the_pack(shape, dtype):
    generator = torch.Generator().manual_seed(0)
    i, j, k = shape
    a = torch.randn(7, i, j, dtype=dtype, generator=generator).requires_grad_()
    b = torch.randn(7, j, k, dtype=dtype, generator=generator).requires_grad_()
    out = product(a, b)
    upstream = torch.randn(7, i, k, dtype=dtype, generator=generator)
    grads = torch.autograd.grad(out, (a, b), upstream)
    for members in (slice(0, 1), slice(6, 7), slice(2, 5)):
        own_a, own_b = (t.detach()[members].clone().requires_grad_() for t in (a, b))
        own = product(own_a, own_b)
        assert torch.equal(own, out[members])
        own_grads = torch.autograd.grad(own, (own_a, own_b), upstream[members].clone())
        assert all(torch.equal(one, all_[members]) for one, all_ in zip(own_grads, grads, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("by_numpy", [True, False], ids=["NumPy", "torch"])
def test_bits_of_an_undifferentiated_product_do_not_depend_on_the_pack(by_numpy, shape, dtype, monkeypatch):
    monkeypatch.setattr(rule, "is_faster", lambda *_: by_numpy)
    generator = torch.Generator().manual_seed(0)
    i, j, k = shape
    a, b = (torch.randn(7, m, n, dtype=dtype, generator=generator) for m, n in ((i, j), (j, k)))
    with one_blas_thread():
        for left, right in ((a, b), (a.mT.contiguous().mT, b), (a, b.mT.contiguous().mT)):
            packed = multiply(left, right)
            torch.testing.assert_close(packed, torch.einsum("rij,rjk->rik", a, b))
            for members in (slice(0, 1), slice(6, 7), slice(2, 5)):
                alone = multiply(*(x[members].clone(memory_format=torch.preserve_format) for x in (left, right)))
                assert torch.equal(alone, packed[members])


def test_numpy_multiplies_strided_and_expanded_operands():
    whole = torch.randn(3, 6, 8, 2)
    a, b = whole[..., 0], torch.eye(8).expand(3, 8, 8)
    torch.testing.assert_close(numpy_product(a, b), a)


def test_it_is_the_matrix_product_and_its_gradient():
    a = torch.randn(3, 5, 4, dtype=torch.float64, requires_grad=True)
    b = torch.randn(3, 4, 6, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(product(a, b), torch.einsum("rij,rjk->rik", a, b))
    assert torch.autograd.gradcheck(product, (a, b))
