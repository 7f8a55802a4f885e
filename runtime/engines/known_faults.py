"""TensorRT versions that are known to compute wrong results for networks like ours, without an error.

Each row was read off the thread it names; a version leaves the list when its maintainers say in which release it works.
"""

from typing import NamedTuple

from wetgen.runtime.engines.key import version_numbers
from wetgen.runtime.errors import WetgenError


class KnownFault(NamedTuple):
    """Versions that begin with `version` do what `fault` says; `source` is where that is reported."""

    version: str
    fault: str
    source: str


KNOWN_FAULTS = (
    KnownFault(
        "11.1",
        "float32 transformers (a DETR) are off by hundreds of pixels, on several GPUs",
        "https://github.com/NVIDIA/TensorRT/issues/4813",
    ),
    KnownFault(
        "11.1",
        "batches above 1 of a transformer (SegFormer) are off by orders of magnitude",
        "https://github.com/NVIDIA/TensorRT/issues/4853",
    ),
    KnownFault(
        "10.11",
        "batches above 1 of a transformer (SegFormer) are off by orders of magnitude",
        "https://github.com/NVIDIA/TensorRT/issues/4853",
    ),
    KnownFault(
        "11.2",
        "a transposed network input is folded into fused float16 attention, with wrong results from head width 9 on",
        "https://github.com/NVIDIA/TensorRT/issues/4826",
    ),
    KnownFault(
        "11.2",
        "a convolution with activation and residual writes a strided concatenation wrongly",
        "https://github.com/NVIDIA/TensorRT/issues/4854",
    ),
)


def check_known_faults(version: str) -> None:
    """Raise WetgenError for a TensorRT version with known wrong results."""
    numbers = version_numbers(version)
    known = [row for row in KNOWN_FAULTS if numbers[:2] == version_numbers(row.version)]
    if known:
        raise WetgenError(
            f"TensorRT {version} is known to draw wrong pictures.",
            why="; ".join(f"{row.fault} ({row.source})" for row in known) + ".",
            fix="install another version, such as 10.16 or 11.4: pip install 'tensorrt>=11.4'",
        )
