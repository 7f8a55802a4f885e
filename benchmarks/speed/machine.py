"""The conditions of a measurement: processor, cores, memory, versions, commit."""

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from wetgen.runtime.files import usable_cores

_PACKAGES = ("wetgen", "numpy", "onnxruntime", "onnxruntime-gpu", "tensorrt", "torch", "diffusers", "openvino")
_CPUINFO = Path("/proc/cpuinfo")
_MODEL = Path("/proc/device-tree/model")  # of boards: "NVIDIA Jetson AGX Orin Developer Kit"


def machine() -> dict[str, object]:
    """The machine in words and numbers that are the same every time it is asked."""
    found: dict[str, object] = {
        "processor": processor(),
        "cores": usable_cores(),
        "memory_gib": _memory_gib(),
        "system": f"{platform.system()} {platform.machine()}",
    }
    if _MODEL.is_file():
        found["board"] = _MODEL.read_text(encoding="utf-8", errors="replace").strip("\0\n ")
    return found


def processor() -> str:
    """The processor as the kernel names it."""
    try:
        lines = _CPUINFO.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):
        return None


def versions() -> dict[str, str]:
    """Python and the installed packages that the numbers depend on."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """The checkout's commit, with + when Python files are not as it has them; "unknown" outside a checkout."""
    here = Path(__file__).parent
    try:
        head = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"], cwd=here, check=True, capture_output=True, text=True
        )
        state = subprocess.run(
            ["git", "status", "--porcelain", "--", ":(top)*.py"], cwd=here, check=True, capture_output=True, text=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip() + ("+" if state.stdout.strip() else "")
