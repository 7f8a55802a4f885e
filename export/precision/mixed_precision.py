"""The targets that compute in float16 or bfloat16: which rung holds, its graphs, and the gate on the files.

Targets that share an opset share their graphs, byte for byte: these are traced and checked once and copied.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import onnx
from wetgen.export import verify
from wetgen.export.graphs.wrappers import shown
from wetgen.export.onnx import files
from wetgen.export.onnx.operators import check_operators
from wetgen.export.onnx.weights import WeightStore
from wetgen.export.precision.calibrate import Ranges
from wetgen.export.precision.candidates import PARTS, Trial, Trials, wrapper_of
from wetgen.export.precision.keep_in_fp32 import (
    BFLOAT16_OPSET,
    LARGEST,
    MARGIN,
    KeptInFloat32,
    PrecisionSet,
    precision_sets,
)
from wetgen.export.precision.precision import lowered
from wetgen.export.precision.rounding import rounding_copy
from wetgen.export.reference import Expected
from wetgen.runtime.bundle.bundle import Bundle, TargetGraphs, graph_entry, target_entry
from wetgen.runtime.bundle.graphs import (
    DENOISE,
    GUIDED,
    JUDGE,
    KINDS,
    Graph,
    Plan,
    StepKind,
    denoise_name,
    graphs_of,
    kinds_of,
)
from wetgen.runtime.bundle.targets import DEFAULT_TARGET, TARGETS, Target
from wetgen.runtime.engines.ort import open_engine
from wetgen.training.checkpoint import Checkpoint


@dataclass(frozen=True)
class Float32Export:
    """An export as far as float32 goes: what its graphs and pictures must be, and where the files belong.

    `targets` are those that compute in less than float32.
    """

    checkpoint: Checkpoint
    part: Path
    plans: Sequence[Plan]
    targets: Sequence[Target]
    batches: Sequence[int]
    guidance: float
    store: WeightStore | None
    expected: Expected
    say: Callable[[str], None]

    @property
    def graphs(self) -> dict[str, Graph]:
        """The declarations of what is to be exported."""
        return graphs_of(self.checkpoint.sizes, kinds=kinds_of(self.plans))


@dataclass
class Exported:
    """The graphs in their folder; `entries` are bundle.json's, their "measured" without the pictures of the files."""

    job: Float32Export
    rung: PrecisionSet
    entries: dict[str, Any] = field(default_factory=dict)

    def check(self, bundle: Bundle, entries: Mapping[str, Any]) -> None:
        """Draw the gate's pictures with the files of each opset, every result rounded, and enter the figures.

        Raises verify.Rejected when they are too far off.
        """
        done: dict[int, verify.Figures] = {}
        for target in self.job.targets:
            if target.opset not in done:
                self.job.say(f"drawing {len(self.job.expected.pictures)} pictures as {target.name} would")
                with TemporaryDirectory(dir=self.job.part.parent, prefix=".rounding-") as folder:
                    rounded = _rounding(bundle, target, Path(folder))
                    arithmetic = cast(verify.Arithmetic, self.rung.precision["denoise"].compute)
                    done[target.opset] = verify.check_pictures(
                        rounded, self.job.expected.pictures, self.job.guidance, arithmetic
                    )
            entries[target.name]["measured"]["plans"] = done[target.opset]


def export(job: Float32Export) -> Exported:
    """Find the rung that holds and write the graphs of every target on it. Raises verify.Rejected when none holds."""
    trials = Trials(job.checkpoint, job.plans, job.expected.token_ids, job.guidance, job.expected.pictures)
    job.say("measuring the ranges of every module")
    islands, ranges = trials.islands(job.expected.latents)
    tried = climb(trials, islands, job.targets, job.say)
    exported = Exported(job, tried[-1].rung)
    how = _how(tried, islands, ranges)
    for opset in sorted({target.opset for target in job.targets}):
        sharing = [target for target in job.targets if target.opset == opset]
        graphs, figures = _write(job, exported.rung, sharing)
        for target in sharing:
            measured = {"graphs": figures, "precision": how, "limits": verify.LIMITS}
            exported.entries[target.name] = target_entry(target, graphs[target.name], job.batches, measured)
    return exported


def climb(
    trials: Trials, islands: Mapping[str, KeptInFloat32], targets: Sequence[Target], say: Callable[[str], None]
) -> list[Trial]:
    """Try rung after rung; returns the trials, the last of which passes. Raises verify.Rejected when none does."""
    tried: list[Trial] = []
    too_old = [target.name for target in targets if target.opset < BFLOAT16_OPSET]
    for rung in precision_sets(islands):
        if rung.name == "bfloat16" and too_old:
            break
        say(f"trying {rung.name}")
        tried.append(trials.run(rung))
        if tried[-1].passes:
            return tried
    raise _none_holds(tried, islands, too_old)


def _none_holds(
    tried: Sequence[Trial], islands: Mapping[str, KeptInFloat32], too_old: Sequence[str]
) -> verify.Rejected:
    places = [f"{graph}: {place}" for trial in tried[-1:] for graph, place in trial.overflows.items()]
    places += [f"{graph} {found.whole}" for graph, found in islands.items() if found.whole]
    said = [f"on '{trial.rung.name}' {dict(trial.figures)}" for trial in tried[-1:]]
    bfloat = f"bfloat16 would take opset {BFLOAT16_OPSET}, which {', '.join(too_old)} do not read; " if too_old else ""
    return verify.Rejected(
        "No smaller type draws what the checkpoint draws.",
        why=f"{'; '.join([*places, *said]) or 'no rung is left'}.",
        fix=f"{bfloat}export with --target cpu alone, or lower the values of that block in training.",
    )


def _how(tried: Sequence[Trial], islands: Mapping[str, KeptInFloat32], ranges: Mapping[str, Ranges]) -> dict[str, Any]:
    """Which rung was taken and why, for bundle.json."""
    widest = {name: max(found.inside, key=lambda path: found.inside[path]) for name, found in ranges.items()}
    whole = {name: found.whole for name, found in islands.items() if found.whole}
    return {
        "rung": tried[-1].rung.name,
        "why": _why(tried, whole),
        "tried": [trial.to_json() for trial in tried],
        "largest": {
            name: {"value": _rounded(ranges[name].inside[path]), "in": shown(path) or "its own code"}
            for name, path in widest.items()
        },
        "allowed": LARGEST / MARGIN,
        **({"float32_as_a_whole": whole} if whole else {}),
    }


def _rounded(value: float) -> float | str:
    """Three digits; JSON has no infinity."""
    return float(f"{value:.3g}") if isfinite(value) else str(value)


def _why(tried: Sequence[Trial], whole: Mapping[str, str | None]) -> str:
    if len(tried) > 1:
        return f"the rungs below it failed: {', '.join(trial.rung.name for trial in tried[:-1])}"
    if "denoise" in whole:
        return f"float16 cannot hold the denoiser: it {whole['denoise']}"
    return "the lowest rung that the measured ranges allow passed"


def _write(
    job: Float32Export, rung: PrecisionSet, targets: Sequence[Target]
) -> tuple[dict[str, dict[str, object]], dict[str, Any]]:
    """The graphs of targets that share an opset, and so their files: entries by target and graph, and the figures."""
    first = targets[0]
    entries: dict[str, dict[str, object]] = {target.name: {} for target in targets}
    figures = {}
    for name, graph in job.graphs.items():
        job.say(f"exporting {name} for {', '.join(target.name for target in targets)}")
        path = job.part / f"{name}.opset{first.opset}.onnx"
        network, kind = network_of(name)
        wrapper = wrapper_of(network, job.checkpoint, job.plans, kind)
        precision = rung.precision[network]
        reasons = lowered(wrapper, precision)
        written = files.export(wrapper, graph, path, opset=first.opset, store=job.store, scopes=True)
        del wrapper
        job.checkpoint.release(PARTS[network])
        stated = {"compute": precision.compute, "weights": precision.compute, **_found_in(path, reasons)}
        figures[name] = _check_graph(job, name, path, cast(verify.Arithmetic, precision.compute))
        for target in targets:
            if target.tensorrt is not None:
                check_operators(path, target)
            entries[target.name][name] = graph_entry(path.name, stated, written.weights)
    return entries, figures


def network_of(graph: str) -> tuple[str, StepKind]:
    """Which network a graph runs, and for the denoiser the kind of its steps."""
    kinds = {denoise_name(kind): kind for kind in KINDS}
    return (DENOISE, kinds[graph]) if graph in kinds else (graph, GUIDED)


def _found_in(path: Path, reasons: Mapping[str, str]) -> dict[str, object]:
    """How many casts a graph has, and which of its network's islands: a decoder holds the encoder's too."""
    nodes = onnx.load(str(path), load_external_data=False).graph.node
    islands = {
        shown(place): reason
        for place, reason in sorted(reasons.items())
        if any(node.name.startswith((f"{shown(place)}/", f"{shown(place)}.")) for node in nodes)
    }
    casts = sum(node.op_type == "Cast" for node in nodes)
    return {"casts": casts, **({"islands": islands} if islands else {})}


def _check_graph(job: Float32Export, name: str, path: Path, arithmetic: verify.Arithmetic) -> verify.Figures:
    """Run the cases through the rounding copy of a file; float16 files must also load in ONNX Runtime as they are."""
    graph = job.graphs[name]
    if arithmetic == "float16":
        open_engine(graph, path, device="cpu", batch=1).run(job.expected.cases[name][0].feed)
    with TemporaryDirectory(dir=job.part.parent, prefix=".rounding-") as folder:
        return verify.check_graphs(job.expected.cases[name], graph, rounding_copy(path, Path(folder)), arithmetic)


def _rounding(bundle: Bundle, target: Target, folder: Path) -> Bundle:
    """The bundle with the rounding copies of a target's graphs in place of those for a CPU."""
    held = bundle.targets[target.name]
    copies = {name: rounding_copy(path, folder) for name, path in held.files.items() if name != JUDGE}
    others = {name: path for name, path in held.files.items() if name not in copies}
    weights = dict.fromkeys(held.files, ())
    cpu = TargetGraphs(TARGETS[DEFAULT_TARGET], (), {**copies, **others}, weights, held.precision)
    return replace(bundle, targets={DEFAULT_TARGET: cpu})
