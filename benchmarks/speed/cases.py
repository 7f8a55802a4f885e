"""The cases of a sweep: each runs in its own process."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.bundle.bundle import Bundle

CaseKind = Literal["ceilings", "sampling", "turns", "files"]

# Candidates that take turns with one another.
OURS = "wetgen"
EAGER = "diffusers and torch, eager"  # the base of ratios, where it was measured
COMPILED = "diffusers and torch.compile"
PLAIN = "ONNX Runtime, call by call"
OPENVINO = "OpenVINO, call by call"

BatchArrays = tuple[NDArray[np.uint8], NDArray[np.uint8] | None]
"""Images (B, H, W, 3), and masks (B, H, W) where the networks draw them."""
DrawBatch = Callable[[], BatchArrays]

SEED = 11
# Every bundle draws the same prompts, so that rows of two bundles can be compared.
PROMPTS = (
    "a brown water stain on a white ceiling",
    "black mold in the corner of a bathroom wall",
    "peeling paint on a damp basement wall",
    "a puddle of water on a wooden floor",
    "a thin crack in a grey concrete wall",
    "white efflorescence on a red brick wall",
    "a clean painted wall without damage",
    "lifted tiles on a wet bathroom floor",
)


@dataclass(frozen=True)
class BenchCase:
    """One thing to measure. `round` numbers its repetitions, which are spread over the whole sweep.

    Warm work repeats for `seconds`, at least `least` times. Ceilings do not use `plan` and `batch`.
    """

    kind: CaseKind
    round: int
    device: str
    threads: int | None
    plan: str = ""
    batch: int = 0
    seconds: float = 0.0
    least: int = 0
    checkpoint: str = ""  # the weights of baselines; empty: no baselines
    cache: str = ""  # where baselines keep the graphs that they export

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def settings(self) -> dict[str, Any]:
        """The settings that identify the case, for the key of its row; paths do not."""
        return {**asdict(self), "checkpoint": bool(self.checkpoint), "cache": ""}

    def __str__(self) -> str:
        again = f", round {self.round + 1}" if self.kind == "sampling" else ""
        return " ".join(filter(None, [self.kind, self.plan, f"batch {self.batch}" if self.batch else ""])) + again


@dataclass(frozen=True)
class BenchOptions:
    """The options of `wetgen bench`; `plan` None is the bundle's default, `batches` in rising order."""

    batches: tuple[int, ...] = (1, 2, 4, 8)
    rounds: int = 3
    seconds: float = 3.0
    plan: str | None = None
    device: str = "cpu"
    threads: int | None = None
    checkpoint: str = ""
    cache: str = ""


def cases_of(bundle: Bundle, options: BenchOptions) -> Iterator[BenchCase]:
    """The cases in order: rounds over all batches, so that drift of the machine affects all alike."""
    plan = bundle.plan(options.plan).name
    common: dict[str, Any] = {"device": options.device, "threads": options.threads}
    yield BenchCase("ceilings", 0, **common)
    for round in range(options.rounds):
        for batch in options.batches:
            yield BenchCase("sampling", round, plan=plan, batch=batch, seconds=options.seconds, least=4, **common)
    yield BenchCase("ceilings", 1, **common)
    turns = sorted({options.batches[0], *([4] if 4 in options.batches and options.checkpoint else [])})
    for batch in turns:
        least = 9 if options.checkpoint else 5
        yield BenchCase(
            "turns",
            0,
            plan=plan,
            batch=batch,
            least=least,
            checkpoint=options.checkpoint,
            cache=options.cache,
            **common,
        )
    files = 4 if 4 in options.batches else options.batches[-1]
    yield BenchCase("files", 0, plan=plan, batch=files, least=2, **common)
