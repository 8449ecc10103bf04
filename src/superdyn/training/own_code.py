"""A student, update rule or measure of the user's own, tried on two samples before anything is launched.

Rules and measures of language models are tried on one as narrow as its heads allow. What would fail in a run, or
quietly break a promise (initial values that differ from launch to launch, members of a pack that see each other), is
refused in one sentence. Axis legend: `r` run, `s` sample, `n` feature.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from superdyn.config import ConfigError, RunConfig
from superdyn.config.schema import UPDATE_RULES
from superdyn.config.sequence_rules import decoder_shape
from superdyn.config.targets import described, resolve_target
from superdyn.features.rank_bins import bin_edges
from superdyn.models.decoder.groups import parameter_groups
from superdyn.models.language_model import TokenStudent
from superdyn.models.measures import superposition_measures
from superdyn.models.protocol import DTYPES, EmbeddingStudent, ExplicitStudent, build_student, student_class
from superdyn.models.student import Student
from superdyn.models.transformer import Transformer
from superdyn.training.optimizers import make_optimizer, rule_class
from superdyn.training.own_measures import OwnMeasures

_TRIED: set[tuple[object, ...]] = set()
"""What has passed: a sweep has many points of one shape."""


def check_own_code(config: RunConfig) -> None:
    """Try what the configuration names of the user's own.

    A language model of the user's own is only found, and so are its measures; its update rule is tried on ours.

    Raises:
        ConfigError: naming the key and what is wrong, with file and line where the user's code raised.
    """
    if config.claim is not None and ":" in config.claim.judge:
        resolve_target("claim.judge", config.claim.judge)
    student_type, rule = student_class(config.model.target), rule_class(config.optimizer)
    measures = OwnMeasures(config.trainer.measures)
    own_student = student_type not in (Student, Transformer, TokenStudent)
    own_rule, reads_tokens = config.optimizer.name not in UPDATE_RULES, config.data.kind == "tokens"
    tries_student = own_student and not reads_tokens
    tries_measures = bool(measures.functions) and not (own_student and reads_tokens)
    if not (tries_student or tries_measures or own_rule):
        return
    case = (config.pack_key(), student_type, rule, *measures.functions)
    if case in _TRIED:
        return
    tried = _narrow(config) if reads_tokens else config
    student = _made(tried)
    if tries_student:
        _check_student(student, tried)
    if tries_measures:
        _check_measures(measures, student, tried)
    if own_rule:
        _check_rule(student, tried)
    _TRIED.add(case)


def _narrow(config: RunConfig) -> RunConfig:
    """The run's language model, two dimensions a head wide; layers, heads, vocabulary and context are its own."""
    shape = decoder_shape(config.model)
    width = min(shape.width, 2 * shape.n_heads)
    fixed = {"size": None, "n_layers": shape.n_layers, "n_heads": shape.n_heads, "n_kv_heads": shape.n_kv_heads}
    assert config.model.decoder is not None
    decoder = config.model.decoder.model_copy(
        update=fixed | {"head_rank": None if shape.head_rank is None else min(shape.head_rank, width)}
    )
    target = f"{TokenStudent.__module__}.{TokenStudent.__name__}"
    model = config.model.model_copy(update={"target": target, "width": width, "decoder": decoder})
    return config.model_copy(update={"model": model, "data": config.data.model_copy(update={"batch_size": 1})})


def _check_measures(measures: OwnMeasures, student: nn.Module, config: RunConfig) -> None:
    data = config.data
    n_losses = data.n_features if data.tokens is None else len(bin_edges(data.n_features, data.tokens.bins)) - 1
    try:
        measures(student, [config], (1, n_losses))
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f"trainer.measures={list(config.trainer.measures)}: {described(error)}.") from error


def _made(*configs: RunConfig) -> nn.Module:
    try:
        return build_student(configs)
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(
            f"model._target_={configs[0].model.target!r}: {described(error)}; it is constructed as Student(configs)."
        ) from error


def _check_student(student: nn.Module, config: RunConfig) -> None:
    named, dtype = f"model._target_={config.model.target!r}", DTYPES[config.trainer.precision]
    for name, parameter in student.named_parameters():
        if parameter.dtype != torch.float32 and parameter.dtype != dtype:
            raise ConfigError(f"{named}: parameter {name} is {parameter.dtype}; allowed is torch.float32.")
    pair = _made(config, config.model_copy(update={"seed": config.seed + 1}))
    for name, value in student.state_dict().items():
        if not torch.equal(value[0], pair.state_dict()[name][0]):
            raise ConfigError(
                f"{named}: {name} has other initial values each time, for one configuration; draw them from the "
                f"member's own seed by superdyn.features.generator.normals(config.seed, shape, tag)."
            )
    if config.trainer.accelerator == "cpu":  # what needs a GPU fails here and may work there
        _check_forward(student.to(dtype), pair.to(dtype), config)
    if isinstance(student, EmbeddingStudent):
        try:
            superposition_measures(student.embedding().detach())
        except Exception as error:
            raise ConfigError(
                f"{named}: embedding() must return a tensor of axes run, hidden and feature, and its measures raise "
                f"{type(error).__name__}: {error}."
            ) from error


def _check_forward(student: nn.Module, pair: nn.Module, config: RunConfig) -> None:
    named = f"model._target_={config.model.target!r}"
    n_samples, n_features = 2 * config.data.length, config.data.n_features
    x = torch.linspace(0, 1, n_samples * n_features, dtype=DTYPES[config.trainer.precision])
    x = x.reshape(1, n_samples, n_features)
    output = _output(student, x, named)
    if output.shape != x.shape:
        raise ConfigError(
            f"{named}: returns outputs of shape {tuple(output.shape)} for inputs of shape {tuple(x.shape)}, axes run, "
            f"sample and feature; allowed is the same shape."
        )
    if not torch.isfinite(output).all():
        raise ConfigError(f"{named}: returns outputs that are not finite before any step, for inputs between 0 and 1.")
    if not isinstance(student, ExplicitStudent):
        idle = _without_effect(student, output)
        if idle:
            raise ConfigError(
                f"{named}: the output does not depend on {', '.join(idle)}; detach nothing that trains, and give other "
                f"parameters requires_grad=False."
            )
    if not torch.equal(_output(student, x, named), output):
        raise ConfigError(
            f"{named}: gives other outputs for the same inputs each time; forward must not be random, since a run has "
            f"the same bits whenever and in whatever pack it trains."
        )
    beside = _output(pair, torch.cat([x, 3 * x]), named)[:1].detach()
    if not torch.allclose(beside, output.detach(), rtol=1e-3, atol=1e-5 * float(output.detach().abs().max())):
        raise ConfigError(
            f"{named}: a run's output depends on the other runs of its pack; operations must not mix runs."
        )


def _output(student: nn.Module, x: Tensor, named: str) -> Tensor:
    try:
        output = student(x)
    except Exception as error:
        raise ConfigError(f"{named}: {described(error)}, on inputs of shape {tuple(x.shape)}.") from error
    if not isinstance(output, Tensor):
        raise ConfigError(
            f"{named}: forward returns {type(output).__name__}; allowed is a tensor of the input's shape."
        )
    return output


def _without_effect(student: nn.Module, output: Tensor) -> list[str]:
    trained: Mapping[str, Tensor] = {n: p for n, p in student.named_parameters() if p.requires_grad}
    if not output.requires_grad:
        return list(trained)
    found = torch.autograd.grad(output.sum(), list(trained.values()), allow_unused=True)
    return [name for name, gradient in zip(trained, found, strict=True) if gradient is None]


def _check_rule(student: nn.Module, config: RunConfig) -> None:
    """One step of the student from made-up gradients."""
    trained = {name: p for name, p in student.named_parameters() if p.requires_grad}
    named = f"optimizer.name={config.optimizer.name!r}"
    rate = torch.full((1,), config.optimizer.lr, dtype=next(iter(trained.values())).dtype)
    try:
        groups = None if config.model.decoder is None else parameter_groups(trained.items())
        rule = make_optimizer(trained, [config.optimizer], groups=groups)
        rule.update({name: torch.full_like(p, 1e-3) for name, p in trained.items()}, rate)
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f"{named}: {described(error)}.") from error
    if not torch.isfinite(rule.flat).all():
        raise ConfigError(f"{named}: parameters are not finite after a first step with gradients of 0.001.")
