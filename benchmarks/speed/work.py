"""What work a time stands for, so that only equal work is compared, and how many operations and bytes it takes."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wetgen.benchmarks.speed.cases import PROMPTS, SEED, Case
from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.bundle.schedule import Plan


def work_key(plan: Plan, case: Case, bundle: Bundle, picture: str, border: str) -> dict[str, Any]:
    """Everything that must be equal on both sides of a comparison.

    `picture` is the thumbnail of the first pair: no statement about weights proves as much as what they draw.
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
    """Per graph of a target "flops", "bytes" and "moved" as [constant, per pair], and where they are from.

    Bundles state them (export/work.py says what they mean); those of an older one are counted now, where onnx is
    installed. The mapping is empty where neither is possible, and the text says what is missing.
    """
    stated = bundle.info.get("work")
    if stated is not None:
        return dict(stated[target]), "counted at export"
    try:
        from wetgen.export.work import work_of_graph
    except ImportError:
        why = "not counted: the bundle was exported before its work was, and to count it now onnx is missing"
        return {}, f"{why}; export it again, or: pip install 'wetgen[export]'"
    files = bundle.targets[target].files
    needed = [name for name in files if Path(files[name]).is_file() and name != "judge"]
    return {name: work_of_graph(files[name]) for name in needed}, "counted from the ONNX files when measured"
