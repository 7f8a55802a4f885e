"""run.json: what a run was asked for, what it ran on, how far it came. `--resume` continues only the same run."""

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import atomic_write, read_bytes
from wetgen.runtime.masks.cleanup import MaskCleanup
from wetgen.runtime.run.filters import Filter

FORMAT = 1
FILE_NAME = "run.json"
_PACKAGES = ("wetgen", "numpy", "pillow", "tokenizers", "onnxruntime", "onnxruntime-gpu", "tensorrt", "cuda-bindings")


@dataclass(frozen=True)
class RunConfig:
    """Everything that decides the pairs of a run, whatever machine makes them."""

    bundle_sha256: str
    prompts: int
    prompts_sha256: str
    seed: int
    plan: str
    guidance: float
    negative: str
    filter: Filter = field(default_factory=Filter)
    tidy: MaskCleanup = field(default_factory=MaskCleanup)
    task: Mapping[str, object] = field(default_factory=dict)
    """What else decides them, by its option's name: sizes, files by their hashes, ..."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "RunConfig":
        """The settings that a run.json states; runs from before there were filters state none."""
        limits = Filter(**data.get("filter", {"refuse_copies": False}))
        return cls(**{**data, "filter": limits, "tidy": MaskCleanup(**data.get("tidy", {}))})

    def flat(self) -> dict[str, object]:
        """Every value by its name, the filter's and the task's among the others."""
        values = asdict(self)
        inner = {key: value for name in ("filter", "tidy", "task") for key, value in values.pop(name).items()}
        return {**values, **inner}


def new_record(config: RunConfig, details: Mapping[str, object]) -> dict[str, Any]:
    """The run.json of a run that begins; `details` is what does not decide its pairs: device, batch, ..."""
    return {
        "format": FORMAT,
        "status": "running",
        "settings": asdict(config),
        **details,
        "started": now(),
        "versions": versions(),
    }


def write_record(folder: Path, record: Mapping[str, object]) -> None:
    """Put run.json into the folder, whole or not at all."""
    atomic_write(folder / FILE_NAME, (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode())


def read_record(folder: Path) -> dict[str, Any]:
    """The run.json of a folder."""
    path = folder / FILE_NAME
    try:
        record = json.loads(read_bytes(path))
        if record["format"] != FORMAT:
            raise ValueError(f"its format is {record['format']}, and this wetgen reads {FORMAT}")
        RunConfig.from_json(record["settings"])
        int(record["batch"])
        int(record.get("tries", 1))
    except (ValueError, KeyError, TypeError) as error:
        raise WetgenError(
            f"{path} does not describe a run.",
            why=f"{type(error).__name__}: {error}.",
            fix="choose an empty folder for a new run.",
        ) from error
    return dict(record)


def check_same(folder: Path, record: Mapping[str, Any], config: RunConfig) -> None:
    """Raise unless the run in the folder was started with this config."""
    before, after = RunConfig.from_json(record["settings"]).flat(), config.flat()
    names = dict.fromkeys([*after, *before])
    changed = [
        f"{name} was {before.get(name)!r} and is {after.get(name)!r}"
        for name in names
        if before.get(name) != after.get(name)
    ]
    if changed:
        raise WetgenError(
            f"{folder} holds another run.",
            why=f"{'; '.join(changed)}.",
            fix="repeat the first run's settings to resume it, or choose an empty folder with --out.",
        )


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Python, the platform, and the installed packages that a run depends on."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
