"""From plain data to a typed object, or to one sentence that names the key, the value and what is allowed."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard, TypeVar, get_args

from pydantic import BaseModel, ValidationError

Model = TypeVar("Model", bound=BaseModel)


class ConfigError(ValueError):
    """A configuration that cannot be run; the message is one sentence for the user."""


def validated(schema: type[Model], mapping: Mapping[str, Any], section: str = "") -> Model:
    """`schema` built from plain data, which is the part of a configuration under `section`.

    Raises:
        ConfigError: the first violation as one sentence.
    """
    try:
        return schema.model_validate(dict(mapping))
    except ValidationError as error:
        raise ConfigError(_sentence(schema, error, section)) from None


def _sentence(schema: type[BaseModel], error: ValidationError, within: str = "") -> str:
    first = error.errors(include_url=False)[0]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, ConfigError):
        return str(cause)
    path = [within] * bool(within) + [str(part) for part in first["loc"]]
    key, section = ".".join(path), ".".join(path[:-1])
    if first["type"] == "extra_forbidden":
        known = allowed_keys(schema, first["loc"][:-1])
        return f"{key}={first['input']!r}: unknown key; {section or 'the configuration'} allows {known}."
    if first["type"] == "missing":
        return f"{key}: missing; {first['msg'].lower()}."
    message = first["msg"].removeprefix("Value error, ").removeprefix("Input ").rstrip(".")
    message = message.replace("a valid tuple", "a list such as [a, b]")
    return f"{key}={_shown(first['input'])}: {message[0].lower()}{message[1:]}."


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, str) else str(value)


def allowed_keys(schema: type[BaseModel], path: tuple[int | str, ...]) -> str:
    """The keys of the section at `path`, or of the deepest section on the way that exists, as a list for a sentence."""
    for part in path:
        known = schema.model_fields.get(str(part))
        annotation = known.annotation if known else None
        section = next((each for each in (annotation, *get_args(annotation)) if _is_section(each)), None)
        if section is None:
            break
        schema = section
    return ", ".join(field.alias or name for name, field in schema.model_fields.items())


def _is_section(annotation: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def one_sentence(error: BaseException) -> str:
    """A library's message as one sentence without its full stop, of about 300 characters at most."""
    text = re.sub(r"\.\s+(?=[A-Z])", "; ", " ".join(str(error).split())) or type(error).__name__
    return (text if len(text) <= 300 else text[:297] + "…").rstrip(".!")


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, what caused it, what caused that."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
