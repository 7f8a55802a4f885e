"""Which of a bundle's targets a device runs."""

import pytest

from wetgen.runtime.bundle.targets import TARGETS, target_for
from wetgen.runtime.errors import WetgenError

ALL = tuple(TARGETS)


@pytest.mark.parametrize(
    "device, offered, version, chosen",
    [
        ("cpu", ALL, None, "cpu"),
        ("cuda", ALL, None, "cuda"),
        ("cuda", ("cpu", "jp6"), None, "cpu"),
        ("tensorrt", ALL, "10.3.0", "jp6"),
        ("tensorrt", ALL, "10.8.0.43", "jp6"),
        ("tensorrt", ALL, "10.9.0", "jp7"),
        ("tensorrt", ALL, "10.16.1.11", "jp7"),  # not 10.1: versions are numbers, not text
        ("tensorrt", ALL, "11.4.0.106", "trt11"),
        ("tensorrt", ("jp6",), "11.4.0", "jp6"),
        ("tensorrt", ("jp7", "jp6"), "12.0.0", "jp7"),
        ("tensorrt", ALL, None, "jp6"),
    ],
)
def test_the_newest_that_can_be_read(device: str, offered: tuple[str, ...], version: str | None, chosen: str):
    assert target_for(device, offered, version).name == chosen


@pytest.mark.parametrize(
    "device, offered, version, fix",
    [
        ("cpu", ("jp6", "cuda"), None, "wetgen-export CHECKPOINT BUNDLE --target cpu"),
        ("cuda", ("jp6",), None, "wetgen-export CHECKPOINT BUNDLE --target cpu --target cuda"),
        ("tensorrt", ("cpu",), None, "wetgen-export CHECKPOINT BUNDLE --target cpu --target trt11"),
        ("tensorrt", ("cpu", "trt11", "jp7"), "10.3.0", "wetgen-export CHECKPOINT BUNDLE --target cpu --target jp6"),
        ("tensorrt", ("cpu", "trt11"), "10.13.2", "wetgen-export CHECKPOINT BUNDLE --target cpu --target jp7"),
        ("tensorrt", ("cpu", "jp6"), "8.6.1", "install a newer TensorRT"),
    ],
)
def test_none_that_can_be_read_names_the_command(device: str, offered: tuple[str, ...], version: str | None, fix: str):
    with pytest.raises(WetgenError) as caught:
        target_for(device, offered, version)
    assert fix in caught.value.fix
    assert ", ".join(offered) in caught.value.why or version == "8.6.1"


def test_every_target_that_tensorrt_reads_names_its_oldest_version_and_they_grow_with_the_opset():
    rows = [target for target in TARGETS.values() if target.tensorrt is not None]
    assert [target.opset for target in rows] == sorted(target.opset for target in rows)
    assert [target.tensorrt for target in rows] == sorted(target.tensorrt for target in rows if target.tensorrt)
    assert all((target.tensorrt is not None) == ("tensorrt" in target.devices) for target in TARGETS.values())
