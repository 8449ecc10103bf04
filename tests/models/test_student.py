"""The student family against a plain version that loops over members and samples, for every switch."""

from itertools import product as combinations

import numpy as np
import pytest
import torch

from superdyn.config import ConfigError
from superdyn.models.embedding import initial_embedding
from superdyn.models.protocol import EmbeddingStudent, LinearStudent, build_student

SWITCHES = list(
    combinations(("identity", "orthogonal", "gaussian"), (True, False), (True, False), ("trained", "identity"),
                 ("linear", "relu"), (True, False))
)  # fmt: skip


def plain_output(student, r, x):
    """y = act(W_dᵀ B W_e x + c) for one member and one sample, with every factor written out."""
    n = len(x)
    encoder = np.eye(n) if student.encoder is None else student.encoder[r].detach().numpy()
    decoder = encoder if student.decoder is None else student.decoder[r].detach().numpy()
    core = np.eye(len(encoder)) if student.core is None else student.core[r].detach().numpy()
    bias = np.zeros(n) if student.bias is None else student.bias[r].detach().numpy()
    y = decoder.T @ (core @ (encoder @ x)) + bias
    return np.maximum(y, 0) if student.rectified else y


@pytest.mark.parametrize(("init", "trained", "tied", "core", "activation", "bias"), SWITCHES)
def test_every_member_of_the_family_is_its_formula(init, trained, tied, core, activation, bias, make_config):
    if core == "identity" and not trained and not bias:
        pytest.skip("nothing would train")
    switches = {"model__encoder_init": init, "model__train_encoder": trained, "model__tied": tied, "model__core": core,
                "model__activation": activation, "model__bias": bias, "trainer__precision": "64-true"}  # fmt: skip
    width = 12 if init == "identity" else 7
    configs = [make_config(seed=s, data__n_features=12, model__width=width, **switches) for s in range(2)]
    student = build_student(configs)
    for parameter in student.parameters():
        parameter.data.normal_(generator=torch.Generator().manual_seed(1))
    x = torch.randn(2, 3, 12, dtype=torch.float64)
    output = student(x).detach().numpy()
    for r, s in combinations(range(2), range(3)):
        np.testing.assert_allclose(output[r, s], plain_output(student, r, x[r, s].numpy()), rtol=1e-12, atol=1e-12)
    jacobian = student.linear_map().detach()
    if activation == "linear":
        linear = torch.einsum("rij,rsj->rsi", jacobian, x) + (
            0 if student.offset() is None else student.offset()[:, None]
        )
        torch.testing.assert_close(student(x), linear, rtol=1e-12, atol=1e-12)


def test_the_student_satisfies_the_protocols(make_config):
    student = build_student([make_config()])
    assert isinstance(student, LinearStudent)
    assert isinstance(student, EmbeddingStudent)
    assert student.embedding().shape == (1, 16, 32)


def test_frozen_parts_do_not_train(make_config):
    student = build_student([make_config(model__train_encoder=False)])
    assert [name for name, _ in student.named_parameters()] == ["core"]
    assert "encoder" in student.state_dict()


def test_members_start_from_their_own_seed(make_config):
    alone = build_student([make_config(seed=3)])
    together = build_student([make_config(seed=s) for s in (1, 3)])
    assert torch.equal(together.encoder[1], alone.encoder[0])
    assert not torch.equal(together.encoder[0], alone.encoder[0])


@pytest.mark.parametrize("shape", [(8, 20), (20, 20)])
def test_orthogonal_embeddings_have_orthonormal_rows_and_gaussian_ones_unit_columns(shape):
    orthogonal = initial_embedding(0, "orthogonal", *shape, "encoder")
    np.testing.assert_allclose(orthogonal @ orthogonal.T, np.eye(shape[0]), atol=1e-12)
    gaussian = initial_embedding(0, "gaussian", *shape, "encoder")
    np.testing.assert_allclose(np.linalg.norm(gaussian, axis=0), 1.0, rtol=1e-12)


@pytest.mark.parametrize("target", ["nowhere.Student", "os.system", "superdyn.config.RunConfig", "", "x"])
def test_a_target_that_is_no_student_is_refused(target, make_config):
    with pytest.raises(ConfigError, match=r"model\._target_="):
        build_student([make_config(model___target_=target)])
