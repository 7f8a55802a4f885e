"""One case in its own process: `python -m wetgen.benchmarks.speed.child BUNDLE CASE BEGAN` prints one JSON line.

Load is cold only once per process, and the peak of memory lasts until the process ends.
"""

import json
import sys
from pathlib import Path
from typing import Any

from wetgen.benchmarks.speed.cases import BenchCase
from wetgen.runtime.errors import WetgenError


def observe(case: BenchCase, bundle: Path, began: float) -> dict[str, Any]:
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
    """Print the observed values, or the error."""
    bundle, case, began = Path(arguments[0]), BenchCase(**json.loads(arguments[1])), float(arguments[2])
    try:
        result: dict[str, Any] = {"observed": observe(case, bundle, began)}
    except WetgenError as error:
        result = {"error": {"what": error.what, "why": error.why, "fix": error.fix}}
    sys.stdout.write(json.dumps(result, allow_nan=False) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
