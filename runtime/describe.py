"""A bundle in words, for `wetgen inspect`."""

from collections.abc import Iterator, Mapping

from wetgen.runtime.bundle import Bundle
from wetgen.runtime.target_graphs import TargetGraphs


def describe_bundle(bundle: Bundle) -> str:
    """What a verified bundle makes, how, from what, and how well."""
    return "\n".join(_lines(bundle))


def _lines(bundle: Bundle) -> Iterator[str]:
    sizes, info = bundle.sizes, bundle.info
    yield f"bundle    {bundle.folder}"
    yield f"sha256    {bundle.hash}"
    yield f"pictures  {sizes.width} x {sizes.height}, from latents of {' x '.join(map(str, sizes.latent))}"
    yield f"prompts   up to {sizes.tokens} tokens"
    yield f"classes   {'none: pictures without masks' if bundle.classes is None else ', '.join(bundle.classes.names)}"
    yield f"guidance  {bundle.default_guidance:g}"
    yield "plans"
    for name, plan in bundle.plans.items():
        default = ", the default" if name == bundle.default_plan else ""
        yield f"  {name}: {len(plan.steps)} steps{default}"
    yield "targets"
    for held in bundle.targets.values():
        yield from (f"  {line}" for line in _target(bundle, held))
    for key in ("made_by", "versions", "trained_on", "quality", "judge", "fingerprints"):
        if info.get(key):
            yield key.replace("_", " ")
            yield from (f"  {line}" for line in _entries(info[key]))
    yield f"all {len(info['files'])} files have the size and sha256 they were exported with"


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
            yield from (("- " if place == 0 else "  ") + line for place, line in enumerate(entry))
    else:
        yield _scalar(value)


def _scalar(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
