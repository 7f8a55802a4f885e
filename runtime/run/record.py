"""What a run says of itself: run.json, and the row of each pair. `--resume` continues only the same run.

images/000017.png  masks/  confidence/  metadata.jsonl  classes.json     the dataset, or
shards/000000.tar  metadata.jsonl  classes.json                          the dataset in shards
run.json  rejected.jsonl  contact-sheet.png  boxes.csv                   about the run
"""

import json
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.dataset.writer import Keys
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import atomic_write, os_errors, read_bytes
from wetgen.runtime.masks.classes import ClassTable
from wetgen.runtime.masks.cleanup import MaskCleanup
from wetgen.runtime.run.filters import Filter
from wetgen.runtime.sampling.sampler import Pair

FORMAT = 1
FILE_NAME = "run.json"
SHEET_NAME = "contact-sheet.png"
BOXES_NAME = "boxes.csv"  # of painted damage; runs without any write none
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


def check_folder(out: Path, config: RunConfig, resume: bool) -> dict[str, Any] | None:
    """The run.json to continue, or None for a new run; raises WetgenError when `out` cannot take this run."""
    with os_errors(out, "read"):
        # A process killed while it wrote its very first file leaves only a hidden temporary one.
        names = [path.name for path in out.iterdir() if not path.name.startswith(".")] if out.exists() else []
    if not names:
        return None
    if FILE_NAME not in names:
        raise WetgenError(
            f"{out} is not empty.",
            why=f"it holds {names[0]}, and no run to resume.",
            fix="choose an empty or new folder with --out.",
        )
    if not resume:
        raise WetgenError(
            f"{out} holds a run already.",
            why="a new run never overwrites another.",
            fix="continue it with --resume, or choose an empty or new folder with --out.",
        )
    record = read_record(out)
    check_same(out, record, config)
    return record


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


def same_shards(out: Path, before: int | None, asked: int | None) -> int | None:
    """The pairs per shard of the run to continue; raises WetgenError when others are asked for."""
    if asked is not None and asked != before:
        stood = "writes no shards" if before is None else f"writes shards of {before} pairs"
        raise WetgenError(
            f"{out} holds a run that {stood}.",
            why="pairs are not moved from one file to another.",
            fix="resume it without --shards, or choose an empty folder with --out.",
        )
    return before


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


def pair_row(pair: Pair, config: RunConfig, bundle: Bundle) -> Keys:
    """The metadata row of a pair: all it takes to make it again, and what is known of it."""
    assert pair.params is not None  # a generator's pairs say how they were drawn
    row: Keys = {
        "text": pair.prompt,
        "scene": f"{pair.seed}-{pair.index}",
        "seed": pair.seed,
        "index": pair.index,
        "try": pair.attempt,
        **pair.params._asdict(),
        "bundle_sha256": config.bundle_sha256,
        "faults": list(pair.faults),
        "synthetic": True,
        "license": _license_note(bundle, pair.metadata.get("background")),
        **pair.metadata,
    }
    if pair.confidence is not None:
        row["confidence"] = round(float(pair.confidence.mean()) / 255, 4)
    if pair.mask is not None and bundle.classes is not None:
        row["class_areas"] = _areas(pair.mask, bundle.classes)
    return row


def _areas(mask: NDArray[np.uint8], classes: ClassTable) -> dict[str, float]:
    """The share of the picture that each class present covers."""
    counts = np.bincount(mask.ravel(), minlength=len(classes.names))  # what is to be ignored has no name, and no share
    return {name: round(int(n) / mask.size, 5) for name, n in zip(classes.names, counts, strict=False) if n}


def _license_note(bundle: Bundle, background: object) -> str:
    """Whose rights may touch a generated picture: the licences of what the bundle was trained on, and those of a
    photograph in its background."""
    photograph = "that of the photograph; " if isinstance(background, Mapping) and "photo" in background else ""
    sources = bundle.info.get("trained_on")
    listed = sources if isinstance(sources, list) else []
    licenses = sorted({str(source["license"]) for source in listed if isinstance(source, dict) and "license" in source})
    trained = f"trained on: {', '.join(licenses)}" if licenses else "training data not stated"
    return f"{photograph}generated; {trained}"


def write_boxes(path: Path, rows: Iterable[tuple[str, Keys]]) -> None:
    """Write the boxes of rows that have some: file_name, class, x, y, width, height, in pixels."""
    names = ("class", "x", "y", "width", "height")
    lines = []
    for _, row in rows:
        file_name = row.get("file_name", row.get("key"))
        listed = row.get("boxes")
        for box in listed if isinstance(listed, list) else []:
            lines.append(",".join([str(file_name), *(str(box[name]) for name in names)]))
    atomic_write(path, "".join(f"{line}\n" for line in [",".join(["file_name", *names]), *lines]).encode())
