"""Which classes and functions a configuration may name, and how they are found.

A configuration can come from a stranger (`superdyn retry` of a folder that was sent), and importing what it names runs
code. So it may name superdyn, torch's optimizers, and packages that the user names elsewhere: under `[tool.superdyn]`
in the `pyproject.toml` of the working directory or a folder above it, or in SUPERDYN_PACKAGES. Imports no torch.
"""

import importlib
import os
import pkgutil
import re
import sysconfig
import tomllib
import traceback
from pathlib import Path
from typing import Any

from superdyn.config.validation import ConfigError, one_sentence

BUILT_IN = ("superdyn", "torch.optim")
VARIABLE = "SUPERDYN_PACKAGES"

_DOTTED = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*"


def resolve_target(key: str, name: str) -> Any:
    """The class or function that the configuration names at `key`: `package.module.Class` or `package.module:function`.

    Nothing is imported unless its package is allowed, and what is found must be defined in an allowed package too: a
    module of ours is no way round to one that it happens to import.

    Raises:
        ConfigError: it may not be named, or cannot be imported.
    """
    _check_allowed(key, name, name.replace(":", "."))
    try:
        found = pkgutil.resolve_name(name)
    except AttributeError as error:
        raise ConfigError(f"{key}={name!r}: cannot be imported ({_import_error(name) or error}).") from error
    except Exception as error:  # whatever the user's module raises when it is imported
        raise ConfigError(f"{key}={name!r}: cannot be imported ({described(error)}).") from error
    home = getattr(found, "__module__", None)
    if not isinstance(home, str):
        raise ConfigError(f"{key}={name!r}: must be a class or a function.")
    _check_allowed(key, name, home)
    return found


def allowed_packages() -> tuple[str, ...]:
    """The packages that the user allows configurations to name, beside superdyn and torch's optimizers.

    Raises:
        ConfigError: an entry is not the name of a package, or `pyproject.toml` cannot be read.
    """
    named = os.environ.get(VARIABLE, "").replace(",", " ").split()
    packages = tuple(dict.fromkeys([*_in_pyproject(Path.cwd()), *named]))
    for package in packages:
        if not re.fullmatch(_DOTTED, package):
            raise ConfigError(f"{package!r} in {VARIABLE} or [tool.superdyn] packages: must be the name of a package.")
    return packages


def user_package(name: str) -> str | None:
    """The allowed package of the user's own that the target `name` comes from; None for ours and for short names."""
    dotted = name.replace(":", ".")
    if "." not in dotted or any(_is_in(dotted, package) for package in BUILT_IN):
        return None
    return next((package for package in allowed_packages() if _is_in(dotted, package)), None)


def _import_error(name: str) -> str | None:
    """Why the module that should hold `name` cannot be imported, which `pkgutil.resolve_name` keeps to itself."""
    module = name.partition(":")[0] if ":" in name else name.rpartition(".")[0]
    try:
        importlib.import_module(module)
    except Exception as error:
        return described(error)
    return None


def described(error: BaseException) -> str:
    """The user's error in one sentence: where in their code, what kind, and its message."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_of_user(frame.filename)]
    kind = type(error).__name__
    text = str(error) if kind in ("ImportError", "ModuleNotFoundError") else one_sentence(error)
    place = f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}: " if frames else ""
    return f"{place}{text}" if kind == "ModuleNotFoundError" else f"{place}{kind}: {text}"


def _is_of_user(path: str) -> bool:
    others = (str(Path(__file__).parents[1]), sysconfig.get_path("stdlib"))
    return os.path.isfile(path) and "site-packages" not in path and not path.startswith(others)


def _check_allowed(key: str, name: str, dotted: str) -> None:
    packages = allowed_packages()
    if not re.fullmatch(_DOTTED, dotted):
        raise ConfigError(f"{key}={name!r}: must have the form package.module.Class or package.module:function.")
    if any(_is_in(dotted, package) for package in (*BUILT_IN, *packages)):
        return
    root = dotted.partition(".")[0]
    elsewhere = "" if dotted == name.replace(":", ".") else f" (defined in {dotted})"
    raise ConfigError(
        f"{key}={name!r}{elsewhere}: may only name {', '.join((*BUILT_IN, *packages))}; if you trust the code of "
        f'{root!r}, add packages = ["{root}"] under [tool.superdyn] in the pyproject.toml of your working directory, '
        f"or set {VARIABLE}={root}."
    )


def _is_in(dotted: str, package: str) -> bool:
    return dotted == package or dotted.startswith(package + ".")


def _in_pyproject(folder: Path) -> list[str]:
    """`packages` of the nearest `pyproject.toml` with a [tool.superdyn] table, from `folder` upwards."""
    for path in (place / "pyproject.toml" for place in (folder, *folder.parents)):
        if not path.is_file():
            continue
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {}).get("superdyn")
        except (ValueError, OSError) as error:
            raise ConfigError(f"{path}: cannot be read ({error}).") from error
        if table is not None:
            packages = table.get("packages", [])
            if not isinstance(packages, list) or not all(isinstance(package, str) for package in packages):
                raise ConfigError(f'{path}: [tool.superdyn] packages must be a list such as ["low_rank"].')
            return packages
    return []
