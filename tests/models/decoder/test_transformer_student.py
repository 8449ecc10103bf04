"""Loss and gradients of `model=transformer` are those of plain torch modules, written sequence by sequence."""

import pytest
import torch
from plain import PlainDecoder, of_member, shaken, stacked_name
from small_transformer import TRANSFORMER

from superdyn.config.sequence_rules import decoder_shape
from superdyn.features.datamodule import FeatureDataModule
from superdyn.training.engine import Engine

SHAPES = {
    "linear": {},
    "head": {"model__tied": False, "model__decoder__head_rank": 8, "model__activation": "relu"},
}


def plain_loss(model, x, importance, lag):
    """½‖y_t − A x_{t−k}‖², mean over sequences and positions that have a target."""
    losses = []
    for sequence in x:
        y = model(sequence[None])[0]
        losses += [0.5 * ((y[t] - importance * sequence[t - lag]) ** 2).sum() for t in range(lag, len(sequence))]
    return torch.stack(losses).mean()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("lag", [0, 3])
def test_gradients_equal_a_plain_reference(lag, shape, make_config):
    double = {"trainer__precision": "64-true", "model__decoder__positions": "learned"}  # plain rotary is in float32
    changes = {**TRANSFORMER, **SHAPES[shape], **double, "data__lag": lag}
    configs = [make_config(**changes, seed=seed, data__importance_exponent=seed / 2) for seed in range(2)]
    engine = Engine(configs)
    shaken(engine.student)
    batch = FeatureDataModule(configs, [0, 1]).stream.draws.batches(0, 1).step(0)
    found = engine.objective.gradients(engine.student, batch)
    stacked = dict(engine.student.named_parameters())
    for r, config in enumerate(configs):
        rectified = config.model.activation == "relu"
        model = PlainDecoder(decoder_shape(config.model), 32, last_norm=False, rectified=rectified)
        plain = of_member(model.double(), stacked, r)
        loss = plain_loss(plain, batch.dense()[r].view(16, 8, 32), engine.objective.importance[r], lag)  # pyright: ignore[reportAttributeAccessIssue]
        loss.backward()
        torch.testing.assert_close(found.loss[r], loss.detach())
        for name, parameter in plain.named_parameters():
            torch.testing.assert_close(found.by_name[stacked_name(name)][r], parameter.grad)
