"""What a language model's curve keeps of its last training step, and clipping by the norm of the gradient."""

import numpy as np
import torch
from models.decoder.plain import PlainDecoder, of_member
from training.test_language_models import plain_loss
from training.test_packs import assert_same_run
from training.token_runs import GPT2, TOKENS

from superdyn.features.token_stream import token_stream
from superdyn.models.protocol import build_student

CLIPPED = {
    **TOKENS,
    "model__decoder": GPT2,
    "optimizer__name": "sgd",
    "optimizer__lr": 0.5,
    "optimizer__clip_norm": 0.3,
}
CLIPPED["optimizer__weight_decay"] = 0.0


def test_loss_and_norm_are_those_of_a_plain_loop_that_clips(make_config, train_together):
    config = make_config(**CLIPPED)
    student = build_student([config])
    named = dict(student.named_parameters())
    model = of_member(PlainDecoder(config.model.decoder.shape(width=32), 64, last_norm=True), named, 0)
    rule, stream, expected = torch.optim.SGD(model.parameters(), lr=0.5), token_stream(config), [(np.nan, np.nan)]
    for step in range(20):
        rule.zero_grad()
        loss = plain_loss(model, stream.batch(step), "cross_entropy")
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 0.3)
        rule.step()
        expected.append((loss.item(), norm.item()))
    (folder,) = train_together([config])
    curve = folder.curve()
    assert max(norm for _, norm in expected[1:]) > 0.3
    found = np.stack([curve["train_loss"], curve["grad_norm"]], axis=1)
    np.testing.assert_allclose(found, np.array(expected)[curve["step"]], rtol=1e-4)


def test_a_clipped_member_has_the_bits_of_a_lone_run_and_a_wide_limit_changes_none(make_config, train_together):
    configs = [make_config(**CLIPPED, seed=seed) for seed in (0, 1)]
    packed = train_together(configs, "packed")
    assert_same_run(packed[1], train_together(configs[1:], "solo")[0])
    wide, unclipped = (make_config(**{**CLIPPED, "optimizer__clip_norm": c}) for c in (1e6, None))
    one, other = (train_together([config], str(config.optimizer.clip_norm))[0] for config in (wide, unclipped))
    np.testing.assert_array_equal(one.curve()["loss"], other.curve()["loss"])
    assert packed[0].curve()["loss"][-1] != one.curve()["loss"][-1]


def test_clipping_is_no_other_run_unless_it_is_asked_for(make_config):
    assert make_config(optimizer__clip_norm=None).signature() == make_config().signature()
    assert make_config(optimizer__clip_norm=1.0).signature() != make_config().signature()
