"""A measurement as a row: what was measured, on what, by which commit, and its error, so speed never travels alone."""

import json
import os
import platform
import subprocess
import time
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
_PACKAGES = ("wetgen", "numpy", "onnxruntime", "torch", "diffusers")


@dataclass(frozen=True)
class Record:
    """One candidate of one comparison."""

    comparison: str
    name: str
    bundle: str
    plan: str
    batch: int
    threads: int
    runs: int
    median_ms: float
    p90_ms: float
    times_as_fast: float
    """Against the comparison's baseline, paired turn by turn; 1 for the baseline itself."""
    least_psnr_db: float
    """Of its pictures against the float32 reference sampler's, the worst pair."""
    mask_agreement: float
    """Share of mask pixels equal to the reference's, the worst pair."""
    device: str = field(default_factory=lambda: cpu_name())
    cores: int = field(default_factory=lambda: len(os.sched_getaffinity(0)))
    date: str = field(default_factory=lambda: time.strftime("%Y-%m-%d"))
    commit: str = field(default_factory=lambda: commit())
    versions: dict[str, str] = field(default_factory=lambda: versions())


def append(path: Path, records: list[Record]) -> None:
    """Add rows to a file of JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(asdict(record)) + "\n" for record in records)


def read(path: Path) -> list[Record]:
    """The rows of a file, oldest first."""
    return [Record(**json.loads(line)) for line in path.read_text(encoding="utf-8").split("\n") if line]


def cpu_name() -> str:
    """The processor as the kernel names it."""
    info = Path("/proc/cpuinfo")
    names = [line.split(":", 1)[1].strip() for line in info.read_text().split("\n") if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def commit() -> str:
    """The checkout's commit, with + when files were changed since; "unknown" outside a checkout."""
    here = Path(__file__).parent
    try:
        head = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"], cwd=here, check=True, capture_output=True, text=True
        )
        state = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", "*.py"], cwd=here, check=False)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip() + ("+" if state.returncode else "")


def versions() -> dict[str, str]:
    """The installed packages that the numbers depend on."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
