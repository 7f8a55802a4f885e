"""What a run or a generator gave, in a form that is compared as a whole."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from wetgen.runtime.sampling.sampler import Pair


def rows(out: Path) -> dict[int, dict[str, Any]]:
    """The rows of a folder by index, in the order in which they stand there."""
    return {row["index"]: row for row in map(json.loads, (out / "metadata.jsonl").read_text("utf-8").splitlines())}


def files(out: Path) -> dict[str, bytes]:
    """The pictures of a folder, byte for byte."""
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("0*.png")}


def bytes_of(pairs: Iterable[Pair]) -> list[tuple[object, ...]]:
    """All that pairs show and say."""
    return [(p.index, p.image.tobytes(), p.mask.tobytes(), p.confidence.tobytes(), p.faults) for p in pairs]
