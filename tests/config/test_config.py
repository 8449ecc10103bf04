"""Wrong configurations stop with one sentence that names the key, the value and what is allowed."""

import pytest

from superdyn.config import INCIDENTAL_FIELDS, MEMBER_FIELDS, ConfigError, RunConfig
from superdyn.training.feasible import check_feasible

REFUSED = {
    "unknown key": ({"data__colour": 1}, r"data\.colour=1: unknown key; data allows n_features"),
    "wrong type": ({"data__n_features": "many"}, r"data\.n_features='many': should be a valid integer"),
    "boolean seed": ({"seed": True}, r"seed=True: should be a valid integer"),
    "fractional count": ({"trainer__max_steps": 10.5}, r"trainer\.max_steps=10\.5: should be a valid integer"),
    "negative exponent": ({"data__data_exponent": -1.0}, r"data\.data_exponent=-1\.0: .* greater than or equal to 0"),
    "negative steps": ({"trainer__max_steps": -5}, r"trainer\.max_steps=-5: .* greater than or equal to 1"),
    "infinite rate": ({"optimizer__lr": float("inf")}, r"optimizer\.lr=inf: should be a finite number"),
    "rate not a number": ({"optimizer__lr": float("nan")}, r"optimizer\.lr=nan"),
    "unknown rule": ({"optimizer__name": "sgdd"}, r"optimizer\.name='sgdd': should be 'sgd', 'normalized'"),
    "no_superposition": (
        {"model__name": "no_superposition"},
        r"model\.width=16: model=no_superposition .* data\.n_features=32",
    ),
    "overcomplete": ({"model__width": 33}, r"model\.width=33: .* model\.allow_overcomplete=true"),
    "identity bottleneck": ({"model__encoder_init": "identity"}, r"model\.encoder_init=identity: needs model\.width"),
    "population of relu": ({"loss": "population"}, r"loss=population: .* model\.activation=relu"),
    "growth of frozen rows": (
        {"optimizer__weight_decay": -1.0, "model__train_encoder": False},
        r"optimizer\.weight_decay=-1\.0",
    ),
    "nothing to train": (
        {"model__train_encoder": False, "model__core": "identity"},
        r"model\.train_encoder=False, model\.core=identity, model\.bias=False: leave the student nothing to train",
    ),
    "decay of frozen rows": (
        {"optimizer__weight_decay": 0.1, "optimizer__weight_decay_on": "encoder", "model__train_encoder": False},
        r"optimizer\.weight_decay=0\.1: acts on the embedding .* or optimizer\.weight_decay_on=all",
    ),
    "muon of a bias": (
        {"model__train_encoder": False, "model__core": "identity", "model__bias": True, "optimizer__name": "muon"},
        r"optimizer=muon: .* only the bias trains; allowed are sgd",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_configuration_is_refused_in_one_sentence(case, make_config):
    changes, pattern = REFUSED[case]
    with pytest.raises(ConfigError, match=pattern) as refusal:
        make_config(**changes)
    assert "\n" not in str(refusal.value)


def test_a_claim_that_needs_a_power_law_refuses_exponents_without_one(make_config):
    claim = {
        "statement": "s", "source": "s", "judge": "ceiling", "kind": "check", "expected": 1.0, "tolerance": 0.1,
        "needs_power_law": True, "minutes": {"smoke": 1},
    }  # fmt: skip
    make_config(claim=claim)
    with pytest.raises(ConfigError, match=r"a \+ 2b = 0\.9"):
        make_config(claim=claim, data__data_exponent=0.9, data__importance_exponent=0.0)


def test_the_density_stops_at_the_cap_unless_clipping_is_asked_for(make_config):
    with pytest.raises(ConfigError, match=r"data\.density=9\.0: .* probability .* > 1; at most .* data\.clip=true"):
        check_feasible(make_config(data__density=9.0))
    check_feasible(make_config(data__density=9.0, data__clip=True))


EXACT = {"loss": "population", "model__activation": "linear", "model__train_encoder": False}
IDENTITY = {**EXACT, "model__width": 32, "model__encoder_init": "identity"}


BIASED = {"model__bias": True, "data__data_exponent": 1.0}


@pytest.mark.parametrize(
    "student",
    [IDENTITY, EXACT, {**IDENTITY, **BIASED}, {**EXACT, **BIASED}, {**EXACT, **BIASED, "model__tied": False}],
    ids=["identity", "frozen gaussian", "identity and bias", "frozen gaussian and bias", "untied and bias"],
)
def test_exact_descent_is_refused_just_where_it_would_diverge(student, make_config, train_together):
    with pytest.raises(ConfigError, match="allowed are values below") as refusal:
        check_feasible(make_config(**student, optimizer__lr=100.0))
    bound = float(str(refusal.value).rstrip(".").split()[-1])
    stable = make_config(**student, optimizer__lr=0.999 * bound, trainer__max_steps=300)
    check_feasible(stable)
    (folder,) = train_together([stable])
    assert folder.curve()["loss"][-1] < folder.curve()["loss"][0]
    unstable = make_config(**student, optimizer__lr=1.01 * bound, trainer__max_steps=2000)
    with pytest.raises(ConfigError):
        check_feasible(unstable)
    (folder,) = train_together([unstable], "unstable")
    assert folder.curve()["loss"][-1] > 1e3 * folder.curve()["loss"][0]


def test_a_configuration_survives_the_round_trip_through_its_file(make_config):
    config = make_config(optimizer__betas=[0.8, 0.99], logger__tags=["x"])
    assert RunConfig.from_mapping(config.to_mapping()) == config


def test_incidental_fields_leave_the_signature_alone(make_config):
    plain = make_config()
    changed = make_config(name="other", tier="full", logger__name="wandb", trainer__chunk_steps=3)
    assert changed.signature() == plain.signature()
    assert make_config(seed=1).signature() != plain.signature()
    assert make_config(trainer__precision="64-true").signature() != plain.signature()


def test_a_decay_that_the_warmup_leaves_no_room_for_is_refused(make_config):
    overlapping = {"optimizer__warmup_fraction": 0.3, "optimizer__decay_fraction": 0.8}
    with pytest.raises(ConfigError, match=r"^optimizer\.decay_fraction=0\.8: .* together at most 1 is allowed\.$"):
        make_config(**overlapping, optimizer__schedule="wsd")
    assert make_config(**overlapping, optimizer__schedule="cosine")


def test_member_fields_share_a_pack_and_others_do_not(make_config):
    plain = make_config()
    values = {"seed": 5, "optimizer.weight_decay": 0.1, "optimizer.schedule": "wsd", "optimizer.decay_type": "1-sqrt"}
    values |= {"start.step": 3, "start.optimizer": False, "start.signature": "1a2b"}
    for field in MEMBER_FIELDS:
        source = {"start__run": "runs/other"} if field.startswith("start.") else {}
        changed = make_config(**source, **{field.replace(".", "__"): values.get(field, 0.7)})
        assert changed.pack_key() == plain.pack_key(), field
        assert changed.signature() != plain.signature(), field
    assert make_config(model__width=8).pack_key() != plain.pack_key()


def test_the_named_fields_exist(make_config):
    flat = make_config().flat()
    for field in (*MEMBER_FIELDS, *INCIDENTAL_FIELDS):
        assert field in flat or any(key.startswith(field + ".") for key in flat), field


def test_the_number_of_ranks_is_no_part_of_a_run_but_its_packs_agree_in_it(make_config):
    one, two = make_config(), make_config(trainer__devices=2, trainer__strategy="ddp")
    assert one.signature() == two.signature()
    assert one.pack_key() != two.pack_key()
