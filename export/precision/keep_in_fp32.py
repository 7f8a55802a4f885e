"""Which modules must stay float32 by their measured ranges, and the precisions that are tried until pictures agree.

They are tried in this order: float16 with those modules ("islands" in bundle.json) in float32; the decoder in float32
too; attention logits too; bfloat16. Norms are float32 in all of them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import inf

from wetgen.export.graphs.wrappers import shown
from wetgen.export.precision.calibrate import Ranges
from wetgen.export.precision.precision import FloatType, Precision

LARGEST = 65504.0  # of float16

# Between two sets of prompts and seeds the largest value of a module differs by 1.07 in the middle, by 2.1 at most
# (shipped checkpoint, 20 steps, 4 and 4 trajectories): twice that is left for what nobody has drawn yet.
MARGIN = 4.0

GRAPHS = ("text", "denoise", "decode", "encode")
BFLOAT16_OPSET = 22  # the first in which ONNX's convolutions take bfloat16


@dataclass(frozen=True)
class KeptInFloat32:
    """The modules of a graph that must stay float32, each with its reason. `whole` is why all of the graph must."""

    modules: tuple[tuple[str, str], ...] = ()
    whole: str | None = None


@dataclass(frozen=True)
class PrecisionSet:
    """A precision for every graph, and its name in bundle.json."""

    name: str
    precision: Mapping[str, Precision]


def kept_in_float32(ranges: Ranges) -> KeptInFloat32:
    """The smallest modules that hold all values beyond float16's range and return only values within it.

    If a module returns a value that overflows, the cast back to float16 would overflow too, so the module around it is
    taken instead.
    """
    greatest = LARGEST / MARGIN
    found: dict[str, str] = {}
    for path, largest in sorted(ranges.inside.items(), key=lambda found: -found[1]):  # the worst is the reason given
        if largest <= greatest:
            break
        reason = f"reaches {largest:.3g} in {shown(path) or 'its own code'}; {greatest:.0f} is allowed"
        island = path
        while island and ranges.border.get(island, inf) > greatest:  # a container is never called: it has no border
            island = island.rpartition(".")[0]
        if "." not in island:  # the wrapper itself, or the network that is all it holds
            return KeptInFloat32(whole=reason)
        found.setdefault(island, reason)
    outermost = {p: why for p, why in found.items() if not any(p.startswith(f"{other}.") for other in found)}
    return KeptInFloat32(tuple(sorted(outermost.items())))


def precision_sets(islands: Mapping[str, KeptInFloat32]) -> Iterator[PrecisionSet]:
    """The sets in the order in which they are tried, without those that change nothing or that the ranges rule out."""
    base = {name: _precision("float16", islands[name]) for name in GRAPHS}
    decoder = {**base, "decode": Precision()}
    logits = {name: _widened(precision) for name, precision in decoder.items()}
    narrow = {name: _precision("bfloat16", islands[name]) for name in GRAPHS}
    bfloat = {**{name: _widened(precision) for name, precision in narrow.items()}, "decode": Precision()}
    listed = [
        PrecisionSet("float16 with islands in float32", base),
        PrecisionSet("decoder in float32", decoder),
        PrecisionSet("attention logits in float32", logits),
        PrecisionSet("bfloat16", bfloat),
    ]
    if islands["denoise"].whole:
        listed = listed[-1:]
    last: PrecisionSet | None = None
    for rung in listed:
        if last is None or rung.precision != last.precision:
            yield rung
        last = rung


def _precision(compute: FloatType, islands: KeptInFloat32) -> Precision:
    """bfloat16 has the range of float32, so no module must stay float32 for its range."""
    if compute == "bfloat16":
        return Precision("bfloat16")
    return Precision() if islands.whole else Precision("float16", islands.modules)


def _widened(precision: Precision) -> Precision:
    if precision.compute == "float32":
        return precision
    return Precision(precision.compute, precision.islands, wide_logits=True)
