"""A run's folder: the files that are the truth about one run, each written atomically and read without torch.

`config.yaml` the configuration; `status.json` the state; `environment.json` versions and code;
`curve.parquet` one row per measurement (`step`, `lr_time` τ, `loss` L, superposition measures);
`spectrum.parquet` (`step`, `loss` the per-feature losses ℓ_i, of tokens `least_loss` their parts in the least one);
`result.json` the fit; `checkpoints/`. Axis legend: `t` measurement, `n` feature.
"""

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from jaxtyping import Float, Int, Shaped

from superdyn.atomic import remove_abandoned, write_atomically, write_text_atomically
from superdyn.runs import manifest
from superdyn.runs.environment import continued, describe_environment, keep_code
from superdyn.runs.status import Status
from superdyn.runs.table_file import read_table

SWEEP_FILE = "sweep.json"
"""In the folder above, if the run is one of a sweep; see `sweep_folder.py`."""

CURVE_COLUMNS = ("step", "lr_time", "loss")

Content = TypeVar("Content")


class RunFolder:
    """One run's files; every reader returns None for a file that is not there yet."""

    def __init__(self, path: str | Path):
        self.path = Path(path)

    @property
    def name(self) -> str:
        """The folder's own name, which is also the run's."""
        return self.path.absolute().name

    @property
    def checkpoints(self) -> Path:
        """Where `superdyn.runs.checkpoints` keeps the resumable state."""
        return self.path / "checkpoints"

    def exists(self) -> bool:
        """True once a run has put its configuration here."""
        return (self.path / "config.yaml").is_file()

    def prepare(self, config: Mapping[str, Any], signature: str) -> None:
        """Make the folder ready for a run to begin or to resume.

        Raises:
            ValueError: the folder already holds a run with another signature, whose files would be mixed up.
        """
        status = self.status()
        if status is not None and status.signature != signature:
            raise ValueError(
                f"{self.path} holds the run with signature {status.signature[:8]}, not {signature[:8]}: "
                "choose another folder (hydra.run.dir=…) or delete this one"
            )
        self.path.mkdir(parents=True, exist_ok=True)
        remove_abandoned(self.path)
        before = None
        if status is not None:
            with suppress(ValueError):  # a damaged record of the past is no reason not to go on
                before = self.environment()
        manifest.reopen(self.path, signature)
        environment = describe_environment(config) | {"config": _digest(_yaml(config))}
        resumes = any(self.checkpoints.glob("step-*.pt"))
        self._write_json("environment.json", continued(before, environment, resumes))
        keep_code(config, self.path.parent if (self.path.parent / SWEEP_FILE).is_file() else self.path)
        self.write_config(config)

    def readdress(self, config: Mapping[str, Any], signature: str, schema: str) -> None:
        """Describe the same run by a later schema: its configuration, its signature and the schema's fingerprint.

        The fingerprint comes last: until then the run counts as one of an older schema, and doing this again completes
        what a kill cut short.
        """
        listed = manifest.Manifest.read(self.path) is not None
        manifest.withdraw(self.path, "config.yaml", "environment.json")
        status = self._read("status.json", _read_json)
        environment = self.environment() or {}
        if status is not None:
            environment.setdefault("first_signature", status["signature"])
            self._write_json("environment.json", environment)
        self.write_config(config)
        if status is not None:
            self._write_json("status.json", status | {"signature": signature})
        self._write_json("environment.json", environment | {"schema": schema, "config": _digest(_yaml(config))})
        if listed and status is not None and status["state"] != "running":
            manifest.seal(self.path, signature)

    def is_as_written(self) -> bool:
        """Whether `config.yaml` is what a run's process wrote, as far as that was recorded."""
        recorded = (self.environment() or {}).get("config")
        return recorded is None or recorded == _digest((self.path / "config.yaml").read_text(encoding="utf-8"))

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Write the configuration, a plain nested mapping, as `config.yaml`."""
        self._write_text("config.yaml", _yaml(config))

    def config(self) -> dict[str, Any] | None:
        """The configuration as plain nested mappings."""
        return self._read("config.yaml", lambda path: yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader))

    def environment(self) -> dict[str, Any] | None:
        """Versions, git commit, host and start time of the process that wrote last."""
        return self._read("environment.json", _read_json)

    def write_status(self, status: Status) -> None:
        """Write `status.json` with this moment's heartbeat; a run that ends has its files listed first."""
        if status.state != "running":
            manifest.seal(self.path, status.signature)
        write_text_atomically(self.path / "status.json", _json(status.stamped()))

    def status(self) -> Status | None:
        """The run's status as it was last written; `Status.is_stale` tells whether to believe a "running"."""
        return self._read("status.json", lambda path: Status(**_read_json(path)))

    def write_result(self, result: Mapping[str, Any]) -> None:
        """Write the fit as `result.json`; numbers that are not finite become null, as JSON has no others."""
        self._write_json("result.json", _finite(result))

    def result(self) -> dict[str, Any] | None:
        """The fit."""
        return self._read("result.json", _read_json)

    def write_curve(self, columns: Mapping[str, Shaped[np.ndarray, "t"]]) -> None:
        """Write `curve.parquet`: `step`, `lr_time` and `loss` first; `step` as int64, all others as float64."""
        ordered = [*CURVE_COLUMNS, *(name for name in columns if name not in CURVE_COLUMNS)]
        table = {n: np.asarray(columns[n], dtype=np.int64 if n == "step" else np.float64) for n in ordered}
        self._write_table("curve.parquet", pa.table(table))

    def curve(self) -> dict[str, Shaped[np.ndarray, "t"]] | None:
        """Columns by name: `step` (int64), `lr_time`, `loss` and the superposition measures (float64)."""
        table = self._read("curve.parquet", read_table)
        return None if table is None else {n: table[n].to_numpy() for n in table.column_names}

    def write_spectrum(
        self,
        steps: Int[np.ndarray, "t"],
        loss: Float[np.ndarray, "t n"],
        others: Mapping[str, Float[np.ndarray, "t _"]] | None = None,
    ) -> None:
        """Write `spectrum.parquet`: `step`, `loss` as fixed-size lists of N float32, and other such columns."""
        lists = {name: _lists(values) for name, values in ({"loss": loss} | dict(others or {})).items()}
        self._write_table("spectrum.parquet", pa.table({"step": np.asarray(steps, dtype=np.int64)} | lists))

    def spectrum(self, column: str = "loss") -> tuple[Int[np.ndarray, "t"], Float[np.ndarray, "t n"]] | None:
        """Steps (t,) and per-feature losses (t, n) float32, or another column of `spectrum.parquet`, None without."""
        table = self._read("spectrum.parquet", read_table)
        if table is None or column not in table.column_names:
            return None
        return table["step"].to_numpy(), _matrix(table[column])

    def feature_measures(self) -> dict[str, Float[np.ndarray, "t _"]]:
        """The columns of `spectrum.parquet` beside `step` and `loss`."""
        table = self._read("spectrum.parquet", read_table)
        if table is None:
            return {}
        return {name: _matrix(table[name]) for name in table.column_names if name not in ("step", "loss")}

    def replace(self, name: str, write: Callable[[BinaryIO], object]) -> None:
        """Give a file the bytes that `write(file)` produces, all at once, and keep the manifest true."""
        was_complete = manifest.withdraw(self.path, name)
        write_atomically(self.path / name, write)
        if was_complete:
            manifest.seal(self.path)

    def _write_json(self, name: str, content: Mapping[str, Any]) -> None:
        self._write_text(name, _json(content))

    def _write_text(self, name: str, text: str) -> None:
        self.replace(name, lambda file: file.write(text.encode()))

    def _write_table(self, name: str, table: pa.Table) -> None:
        # Measured losses hardly repeat: a dictionary only costs time.
        self.replace(name, lambda file: pq.write_table(table, file, compression="zstd", use_dictionary=False))

    def _read(self, name: str, read: Callable[[Path], Content]) -> Content | None:
        """The file's content, None if it is absent.

        Raises:
            ValueError: the file is there and is not whole, e.g. because a copy of the folder was cut short.
        """
        path = self.path / name
        try:
            return read(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, TypeError, OSError, yaml.YAMLError) as error:  # pyarrow's errors are ValueErrors
            raise ValueError(f"{path} cannot be read, it may be cut short: {error}") from error


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def _yaml(config: Mapping[str, Any]) -> str:
    return yaml.dump(dict(config), Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _lists(values: Float[np.ndarray, "t _"]) -> pa.FixedSizeListArray:
    flat = pa.array(np.ascontiguousarray(values, dtype=np.float32).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


def _matrix(column: pa.ChunkedArray) -> Float[np.ndarray, "t _"]:
    lists = column.combine_chunks()
    return lists.flatten().to_numpy().reshape(-1, lists.type.list_size)


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, np.generic | np.ndarray):
        return _finite(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
