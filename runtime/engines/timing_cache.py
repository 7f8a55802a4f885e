"""What TensorRT measured while it built engines, kept for the next build: it makes a rebuild several times as fast.

A cache holds for one GPU, one CUDA and one TensorRT, so each has a file of its own. TensorRT refuses a cache of another
device; that it survives damaged bytes is not promised, so they are preceded by their sha256.
"""

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from wetgen.runtime.engines.cuda import Gpu
from wetgen.runtime.files import atomic_write, os_errors, read_bytes

if TYPE_CHECKING:
    import tensorrt as trt

_DIGEST = 32  # bytes of a sha256


def cache_path(engines: Path, gpu: Gpu, tensorrt: str) -> Path:
    """The cache file for a GPU and a TensorRT version inside a bundle's engines folder."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", gpu.name).strip("-").lower()
    major, minor = gpu.capability
    return engines / f"timing.{name}.sm{major}{minor}x{gpu.multiprocessors}.trt{tensorrt}.cache"


def attach(config: "trt.IBuilderConfig", path: Path) -> bool:
    """Let a build use and extend the stored cache, or an empty one; gives whether the stored one was used."""
    stored = _read(path)
    if stored and config.set_timing_cache(config.create_timing_cache(stored), ignore_mismatch=False):
        return True
    config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)
    return False


def store(config: "trt.IBuilderConfig", path: Path) -> None:
    """Write what a build measured, together with what another process may have stored meanwhile."""
    cache = config.get_timing_cache()
    stored = _read(path)
    if stored:
        cache.combine(config.create_timing_cache(stored), ignore_mismatch=False)
    data = bytes(memoryview(cache.serialize()))
    with os_errors(path.parent, "created"):
        path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, hashlib.sha256(data).digest() + data)


def _read(path: Path) -> bytes:
    """The stored cache, or nothing where there is none or it was damaged: it only costs time."""
    if not path.is_file():
        return b""
    stored = read_bytes(path)
    data = stored[_DIGEST:]
    return data if hashlib.sha256(data).digest() == stored[:_DIGEST] else b""
