"""Which precision a checkpoint stands: islands from measured ranges, and rungs that are climbed until pictures agree.

The rungs: float16 with islands; the decoder in float32; attention logits in float32; bfloat16 for what is left. Norms
are float32 on all of them: the rung that other ladders have for norms is where this one begins.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import inf

from wetgen.export.graphs.wrappers import shown
from wetgen.export.precision.calibrate import Ranges
from wetgen.export.precision.precision import Compute, Precision

LARGEST = 65504.0  # of float16

# Between two sets of prompts and seeds the largest value of a module differs by 1.07 in the middle, by 2.1 at most
# (shipped checkpoint, 20 steps, 4 and 4 trajectories): twice that is left for what nobody has drawn yet.
MARGIN = 4.0

GRAPHS = ("text", "denoise", "decode", "encode")
BFLOAT16_OPSET = 22  # the first in which ONNX's convolutions take bfloat16


@dataclass(frozen=True)
class Islands:
    """What must stay float32 in a graph by its measured ranges: modules, or, by `whole`, all of it and why."""

    modules: tuple[tuple[str, str], ...] = ()
    whole: str | None = None


@dataclass(frozen=True)
class Rung:
    """A precision for every graph, under the name that bundle.json gives it."""

    name: str
    precision: Mapping[str, Precision]


def islands_of(ranges: Ranges) -> Islands:
    """The smallest modules around all values beyond float16's range that hand on only values within it.

    A module whose own result overflows is no island: its cast back would overflow. The module around it is asked next.
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
            return Islands(whole=reason)
        found.setdefault(island, reason)
    outermost = {p: why for p, why in found.items() if not any(p.startswith(f"{other}.") for other in found)}
    return Islands(tuple(sorted(outermost.items())))


def rungs(islands: Mapping[str, Islands]) -> Iterator[Rung]:
    """The rungs from the bottom, those left out that change nothing or that the ranges rule out."""
    base = {name: _precision("float16", islands[name]) for name in GRAPHS}
    decoder = {**base, "decode": Precision()}
    logits = {name: _widened(precision) for name, precision in decoder.items()}
    narrow = {name: _precision("bfloat16", islands[name]) for name in GRAPHS}
    bfloat = {**{name: _widened(precision) for name, precision in narrow.items()}, "decode": Precision()}
    listed = [
        Rung("float16 with islands in float32", base),
        Rung("decoder in float32", decoder),
        Rung("attention logits in float32", logits),
        Rung("bfloat16", bfloat),
    ]
    if islands["denoise"].whole:
        listed = listed[-1:]
    last: Rung | None = None
    for rung in listed:
        if last is None or rung.precision != last.precision:
            yield rung
        last = rung


def _precision(compute: Compute, islands: Islands) -> Precision:
    """bfloat16 has float32's range, so it needs no islands for that."""
    if compute == "bfloat16":
        return Precision("bfloat16")
    return Precision() if islands.whole else Precision("float16", islands.modules)


def _widened(precision: Precision) -> Precision:
    if precision.compute == "float32":
        return precision
    return Precision(precision.compute, precision.islands, wide_logits=True)
