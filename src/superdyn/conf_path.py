"""Where the configuration groups are: inside an installed wheel, or at the top of a checkout."""

from pathlib import Path


def conf_path() -> Path:
    """The folder that holds `config.yaml`.

    Raises:
        FileNotFoundError: when the installation lacks it.
    """
    package = Path(__file__).resolve().parent
    for candidate in (package / "conf", package.parents[1] / "conf"):
        if (candidate / "config.yaml").is_file():
            return candidate
    raise FileNotFoundError(f"superdyn's conf folder is missing: neither inside nor beside {package}")
