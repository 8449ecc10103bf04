"""A member's product has the same bits alone and in a pack, whatever the shapes, forward and backward."""

import pytest
import torch

from superdyn.models.product import lone_product_threads, matvec, multiply, product

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


@pytest.mark.parametrize("lone", [1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(32, 512, 32), (64, 512, 33), (33, 100, 33), (128, 512, 256), (17, 500, 23)])
def test_bits_depend_on_the_threads_of_a_member_and_not_on_those_of_the_pack(shape, dtype, lone):
    i, j, k = shape
    a, b, v = (torch.randn(3, *size, dtype=dtype) for size in ((i, j), (k, j), (j,)))
    before = torch.get_num_threads()
    found = []
    try:
        for members, threads in ((slice(0, 3), 2), (slice(0, 3), 4), (slice(2, 3), 2), (slice(2, 3), 1)):
            torch.set_num_threads(threads)
            with lone_product_threads(lone):
                own_a, own_b, own_v = (x[members].clone() for x in (a, b, v))
                found.append((multiply(own_a, own_b.mT)[-1], matvec(own_a, own_v)[-1]))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(x, y) for others in found[1:] for x, y in zip(found[0], others, strict=True))
