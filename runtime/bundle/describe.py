"""Describes a bundle in words, for `wetgen inspect`."""

from collections.abc import Iterator, Mapping

from wetgen.runtime.bundle.bundle import Bundle, TargetGraphs
from wetgen.runtime.bundle.graphs import Plan


def describe_bundle(bundle: Bundle) -> str:
    """What a verified bundle draws, with which plans and targets, and its measurements."""
    return "\n".join(_lines(bundle))


def _lines(bundle: Bundle) -> Iterator[str]:
    sizes, info = bundle.sizes, bundle.info
    yield f"bundle    {bundle.folder}"
    yield f"sha256    {bundle.hash}"
    yield f"pictures  {sizes.width} x {sizes.height}, from latents of {' x '.join(map(str, sizes.latent))}"
    yield f"prompts   up to {sizes.tokens} tokens"
    yield f"classes   {'none: pictures without masks' if bundle.classes is None else ', '.join(bundle.classes.names)}"
    learnt = bundle.guidance_range
    known = "" if learnt is None else f", from {learnt[0]:g} to {learnt[1]:g}: distilled into the denoiser"
    yield f"guidance  {bundle.default_guidance:g}{known}"
    yield "plans"
    for plan in bundle.plans.values():
        yield from (f"  {line}" for line in _plan(bundle, plan))
    yield "targets"
    for held in bundle.targets.values():
        yield from (f"  {line}" for line in _target(bundle, held))
    for key in ("made_by", "versions", "trained_on", "quality", "judge", "fingerprints"):
        if info.get(key):
            yield key.replace("_", " ")
            yield from (f"  {line}" for line in _entries(info[key]))
    yield f"all {len(info['files'])} files have the size and sha256 they were exported with"


def _plan(bundle: Bundle, plan: Plan) -> Iterator[str]:
    steps, guided = len(plan.steps), sum(step.guided for step in plan.steps)
    reusing = sum(step.cache == "reuse" for step in plan.steps)
    parts = [f"{steps} step{'s' * (steps != 1)}"]
    parts += [] if guided == steps else [f"{guided} guided" if guided else "none guided"]
    parts += [f"{reusing} reuse{'s' * (reusing == 1)} deep features"] if reusing else []
    parts += ["the default"] if plan.name == bundle.default_plan else []
    yield f"{plan.name}: {', '.join(parts)}"
    entry = bundle.info["plans"][plan.name]
    for key in ("spec", "measured"):
        if key in entry and entry[key] != plan.name:
            yield from (f"  {line}" for line in _entries({key: entry[key]}))


def _target(bundle: Bundle, held: TargetGraphs) -> Iterator[str]:
    entry = bundle.info["targets"][held.target.name]
    ladder = f", engines of batch {', '.join(map(str, held.batches))}" if held.batches else ""
    yield f"{held.target.name}: opset {entry['opset']}, for {held.target.meant_for}{ladder}"
    for name in held.files:
        size = int(bundle.info["files"][held.files[name].relative_to(bundle.folder).as_posix()]["bytes"]) / 2**20
        weights = "".join(f" and {path.name}" for path in held.weights[name])
        precision = held.precision[name]
        islands = f", {len(precision['islands'])} islands in float32" if precision.get("islands") else ""
        compute = f"computes in {precision['compute']}, weights in {precision['weights']}{islands}"
        yield f"  {name}: {held.files[name].name}{weights}, {compute}, {size:.1f} MiB"
    if entry.get("measured"):
        yield "  measured"
        yield from (f"    {line}" for line in _entries(entry["measured"]))


def _entries(value: object) -> Iterator[str]:
    """Any JSON value as indented lines."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if isinstance(item, Mapping | list):
                yield f"{key}:"
                yield from (f"  {line}" for line in _entries(item))
            else:
                yield f"{key}: {_scalar(item)}"
    elif isinstance(value, list):
        for item in value:
            entry = list(_entries(item))
            yield from (("- " if i == 0 else "  ") + line for i, line in enumerate(entry))
    else:
        yield _scalar(value)


def _scalar(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
