"""A member's product has the same bits alone and in a pack, whatever the shapes, forward and backward."""

import pytest
import torch

from superdyn.models.product import product

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


def test_it_is_the_matrix_product_and_its_gradient():
    a = torch.randn(3, 5, 4, dtype=torch.float64, requires_grad=True)
    b = torch.randn(3, 4, 6, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(product(a, b), torch.einsum("rij,rjk->rik", a, b))
    assert torch.autograd.gradcheck(product, (a, b))
