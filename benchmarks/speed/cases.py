"""What a sweep measures: one case for each thing that runs in a process of its own."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from wetgen.runtime.bundle.bundle import Bundle

Kind = Literal["ceilings", "sampling", "turns", "files"]

SEED = 11
# Every bundle is asked for the same pairs, so that rows of two bundles can be compared.
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
class Case:
    """One thing to measure. `round` tells the times apart that a sweep measures it, spread over the whole run.

    `seconds` is for how long warm work repeats, at least `least` times. `plan` and `batch` say nothing of the ceilings.
    """

    kind: Kind
    round: int
    device: str
    threads: int | None
    plan: str = ""
    batch: int = 0
    seconds: float = 0.0
    least: int = 0
    checkpoint: str = ""  # where baselines find the weights; empty: none are measured
    cache: str = ""  # where baselines keep what they export

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def settings(self) -> dict[str, Any]:
        """What makes the case this one, for the key of its row: no path, which says nothing of the work."""
        return {**asdict(self), "checkpoint": bool(self.checkpoint), "cache": ""}

    def __str__(self) -> str:
        again = f", round {self.round + 1}" if self.kind == "sampling" else ""
        return " ".join(filter(None, [self.kind, self.plan, f"batch {self.batch}" if self.batch else ""])) + again


@dataclass(frozen=True)
class Asked:
    """The options of `wetgen bench`; `plan` None is the bundle's default, `batches` in rising order."""

    batches: tuple[int, ...] = (1, 2, 4, 8)
    rounds: int = 3
    seconds: float = 3.0
    plan: str | None = None
    device: str = "cpu"
    threads: int | None = None
    checkpoint: str = ""
    cache: str = ""


def cases_of(bundle: Bundle, asked: Asked) -> Iterator[Case]:
    """The cases in the order in which they are measured: rounds over all batches, so that drift hits them alike."""
    plan = bundle.plan(asked.plan).name
    common: dict[str, Any] = {"device": asked.device, "threads": asked.threads}
    yield Case("ceilings", 0, **common)
    for round in range(asked.rounds):
        for batch in asked.batches:
            yield Case("sampling", round, plan=plan, batch=batch, seconds=asked.seconds, least=4, **common)
    yield Case("ceilings", 1, **common)
    turns = sorted({asked.batches[0], *([4] if 4 in asked.batches and asked.checkpoint else [])})
    for batch in turns:
        least = 9 if asked.checkpoint else 5
        yield Case(
            "turns", 0, plan=plan, batch=batch, least=least, checkpoint=asked.checkpoint, cache=asked.cache, **common
        )
    files = 4 if 4 in asked.batches else asked.batches[-1]
    yield Case("files", 0, plan=plan, batch=files, least=2, **common)
