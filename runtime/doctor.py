"""`wetgen doctor`: what this machine offers, and why what is missing is missing."""

import os
import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

from wetgen.runtime.cores import usable_cores
from wetgen.runtime.errors import WetgenError

_PACKAGES = ("wetgen", "numpy", "pillow", "click", "tokenizers")


class Finding(NamedTuple):
    """One line of the table."""

    subject: str
    good: bool
    text: str


def examine() -> Iterator[Finding]:
    """Everything that a run depends on, in the order in which it would fail."""
    yield Finding("python", True, f"{platform.python_version()} on {platform.platform()}")
    yield from (_package(name) for name in _PACKAGES)
    yield Finding("cores", True, f"{usable_cores()} usable of {os.cpu_count()}")
    yield Finding("memory", True, _memory())
    yield from _onnxruntime()
    yield _gpu()
    yield _tensorrt()
    yield _bundle()


def render(findings: Iterator[Finding]) -> str:
    """The findings as a table."""
    listed = list(findings)
    width = max(len(finding.subject) for finding in listed)
    return "\n".join(f"{'ok' if good else '--'}  {subject:{width}}  {text}" for subject, good, text in listed)


def _package(name: str) -> Finding:
    try:
        return Finding(name, True, version(name))
    except PackageNotFoundError:
        return Finding(name, False, f"not installed: pip install {name}")


def _memory() -> str:
    try:
        page = os.sysconf("SC_PAGE_SIZE")
        total, free = (page * os.sysconf(name) / 2**30 for name in ("SC_PHYS_PAGES", "SC_AVPHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return "unknown on this system"
    return f"{total:.1f} GiB, {free:.1f} GiB of it free"


def _onnxruntime() -> Iterator[Finding]:
    from wetgen.runtime.engines import ort as engine

    wheels = engine.installed_wheels()
    try:
        ort = engine.import_onnxruntime()
    except WetgenError as error:
        yield Finding("onnxruntime", False, f"{error.why} {error.fix}")
        return
    offered = ", ".join(ort.get_available_providers())
    yield Finding("onnxruntime", len(wheels) == 1, f"{ort.__version__} from {' and '.join(wheels)}: {offered}")
    for device in engine.PROVIDERS:
        yield _device(device)


def _device(device: str) -> Finding:
    """Try the device for real: a provider may be in the build and yet not load."""
    from wetgen.runtime.engines import ort as engine

    try:
        engine.try_device(device)
    except WetgenError as error:
        return Finding(device, False, f"{error.why} {error.fix}")
    return Finding(device, True, "usable")


def _gpu() -> Finding:
    """What CUDA finds, through cuda-python; it is what keeps arrays on the GPU."""
    from wetgen.runtime.engines import cuda

    try:
        cuda.require_cuda()
        gpu = cuda.current_gpu()
        free = cuda.free_memory(gpu)
    except WetgenError as error:
        return Finding("cuda-python", False, f"{error.what} {error.why} {error.fix}")
    shared = ", shared with the host" if gpu.integrated else ""
    sizes = f"{gpu.total_memory / 2**30:.1f} GiB{shared}, {free / 2**30:.1f} GiB of it free"
    return Finding("cuda-python", True, f"{gpu}, {sizes}")


def _tensorrt() -> Finding:
    from wetgen.runtime.engines.trt import require_tensorrt

    try:
        found = require_tensorrt()
    except WetgenError as error:
        return Finding("tensorrt", False, f"{error.what} {error.why} {error.fix}")
    return Finding("tensorrt", True, f"{found}: build engines with `wetgen build`")


def _bundle() -> Finding:
    from wetgen.runtime.generator import open_bundle

    try:
        bundle = open_bundle(None)
    except WetgenError as error:
        return Finding("bundle", False, f"{error.what} {error.why} {error.fix}")
    return Finding("bundle", True, f"{bundle.folder}, every file verified")
