"""One case in a process of its own: `python -m wetgen.benchmarks.speed.child BUNDLE CASE BEGAN` prints one JSON line.

A process of its own, because load is only cold once, and a peak of memory stays until a process ends.
"""

import json
import sys
from pathlib import Path
from typing import Any

from wetgen.benchmarks.speed.cases import Case
from wetgen.runtime.errors import WetgenError


def observe(case: Case, bundle: Path, began: float) -> dict[str, Any]:
    """The observed values of a case."""
    if case.kind == "sampling":
        from wetgen.benchmarks.speed import sampling

        return sampling.measure(case, bundle, began)
    if case.kind == "ceilings":
        from wetgen.benchmarks.speed import ceilings

        return ceilings.measure(case, bundle)
    if case.kind == "turns":
        from wetgen.benchmarks.speed import turns

        return turns.measure(case, bundle)
    from wetgen.benchmarks.speed import storing

    return storing.measure(case, bundle)


def main(arguments: list[str]) -> None:
    """Print what was observed, or why it could not be."""
    bundle, case, began = Path(arguments[0]), Case(**json.loads(arguments[1])), float(arguments[2])
    try:
        said: dict[str, Any] = {"observed": observe(case, bundle, began)}
    except WetgenError as error:
        said = {"error": {"what": error.what, "why": error.why, "fix": error.fix}}
    sys.stdout.write(json.dumps(said, allow_nan=False) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
