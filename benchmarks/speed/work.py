"""The work behind a time, so that only equal work is compared, and its operations and bytes."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wetgen.benchmarks.speed.cases import PROMPTS, SEED, BenchCase
from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.bundle.graphs import Plan


def work_key(plan: Plan, case: BenchCase, bundle: Bundle, picture: str, border: str) -> dict[str, Any]:
    """Everything that must be equal on both sides of a comparison.

    `picture` is the thumbnail of the first pair, which shows whether the weights are the same.
    """
    return {
        "timesteps": [step.timestep for step in plan.steps],
        "kinds": [step.kind.name for step in plan.steps],
        "batch": case.batch,
        "size": [bundle.sizes.height, bundle.sizes.width],
        "guidance": bundle.default_guidance,
        "seed": SEED,
        "prompts": hashlib.sha256(json.dumps(PROMPTS).encode()).hexdigest()[:12],
        "border": border,
        "picture": picture,
    }


def counted(bundle: Bundle, target: str) -> tuple[Mapping[str, Mapping[str, list[int]]], str]:
    """Per graph of a target "flops" and "bytes" as [constant, per pair], and their source in words.

    Bundles state them (export/work.py defines them); for older bundles they are counted now if onnx is installed.
    Otherwise the mapping is empty, and the text names what is missing.
    """
    stated = bundle.info.get("work")
    if stated is not None:
        return dict(stated[target]), "counted at export"
    try:
        from wetgen.export.work import work_of_graph
    except ImportError:
        why = "not counted: the bundle does not state its work, and onnx is missing to count it now"
        return {}, f"{why}; export it again, or: pip install 'wetgen[export]'"
    files = bundle.targets[target].files
    needed = [name for name in files if Path(files[name]).is_file() and name != "judge"]
    return {name: work_of_graph(files[name]) for name in needed}, "counted from the ONNX files when measured"
