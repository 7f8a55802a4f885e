"""Targets: the engines that a set of graphs is exported for, with the opset that they read.

TensorRT reads the opsets of its own and all earlier versions, so a target serves its TensorRT and every later one.
Sources: JetPack's component table (6.1 and 6.2 bring TensorRT 10.3; 7.0 brings 10.13, 7.2 brings 10.16) and
onnx-tensorrt's changelog (opset 20 since 10.0, opset 21's GroupNormalization since 10.9, Attention since 10.14).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from wetgen.runtime.errors import WetgenError

DEVICES = ("cpu", "cuda", "tensorrt")


Compute = Literal["float32", "float16"]


@dataclass(frozen=True)
class Target:
    """One row of the table. `tensorrt` is the oldest version (major, minor) that reads its graphs, None for others."""

    name: str
    devices: tuple[str, ...]  # of `wetgen run --device`, that run its graphs
    opset: int
    compute: Compute
    tensorrt: tuple[int, int] | None = None
    meant_for: str = ""


TARGETS = {
    target.name: target
    for target in (
        Target("cpu", ("cpu", "cuda"), 20, "float32", meant_for="ONNX Runtime on any machine"),
        Target("cuda", ("cuda",), 20, "float16", meant_for="ONNX Runtime on an NVIDIA GPU"),
        Target("jp6", ("tensorrt",), 20, "float16", (10, 3), "JetPack 6: TensorRT 10.3 to 10.8"),
        Target("jp7", ("tensorrt",), 21, "float16", (10, 9), "JetPack 7: TensorRT 10.9 to 10.16"),
        Target("trt11", ("tensorrt",), 23, "float16", (11, 0), "TensorRT 11"),
    )
}

DEFAULT_TARGET = "cpu"
DEFAULT_BATCHES = (1, 2, 4, 8)  # of the engines that are built for a TensorRT target


def target_for(device: str, offered: Iterable[str], tensorrt_version: str | None = None) -> Target:
    """The offered target that a device runs; raises WetgenError, with the export command, if there is none.

    cuda runs the target `cuda`, or else `cpu`: float32 graphs run there too, only slower. tensorrt runs the newest
    target that `tensorrt_version` reads; if the version is not known, the oldest target, which most versions read.
    """
    fitting = [TARGETS[name] for name in TARGETS if name in set(offered) and device in TARGETS[name].devices]
    if device == "tensorrt" and tensorrt_version is not None:
        fitting = [target for target in fitting if (target.tensorrt or (0, 0)) <= _major_minor(tensorrt_version)]
    if not fitting:
        raise _none_fits(device, list(offered), tensorrt_version)
    newest_first = device != "tensorrt" or tensorrt_version is not None
    return fitting[-1 if newest_first else 0]


def _major_minor(version: str) -> tuple[int, int]:
    """(10, 3) of "10.3.0" or "10.3.0.30"."""
    major, minor = version.split(".")[:2]
    return int(major), int(minor)


def _none_fits(device: str, offered: list[str], tensorrt_version: str | None) -> WetgenError:
    readable = [
        target.name
        for target in TARGETS.values()
        if device in target.devices
        and (tensorrt_version is None or (target.tensorrt or (0, 0)) <= _major_minor(tensorrt_version))
    ]
    which = device if tensorrt_version is None else f"TensorRT {tensorrt_version}"
    if not readable:
        return WetgenError(
            f"No target of wetgen is for {which}.",
            why=f"there are {', '.join(TARGETS)}; the oldest TensorRT they are for is {_oldest()}.",
            fix="install a newer TensorRT, or use another --device.",
        )
    return WetgenError(
        f"This bundle cannot run on {device}.",
        why=f"it holds graphs for {', '.join(offered) or 'nothing'}; {which} runs those for {' or '.join(readable)}.",
        fix=f"export it again: wetgen-export CHECKPOINT BUNDLE {_options(readable[-1])}",
    )


def _options(name: str) -> str:
    return " ".join(f"--target {target}" for target in dict.fromkeys((DEFAULT_TARGET, name)))


def _oldest() -> str:
    return ".".join(map(str, min(target.tensorrt for target in TARGETS.values() if target.tensorrt is not None)))


def version_numbers(version: str) -> tuple[int, ...]:
    """(10, 3, 0) of "10.3.0"; parts that are not numbers, such as "post1", are left out."""
    return tuple(int(part) for part in version.split(".") if part.isdecimal())
