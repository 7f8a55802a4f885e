"""What a bundle holds for each of its targets: the "targets" entry of bundle.json, read and written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wetgen.runtime.bundle_files import inside
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.graphs import JUDGE
from wetgen.runtime.targets import TARGETS, Target


@dataclass(frozen=True)
class TargetGraphs:
    """The graphs of a bundle for one target.

    `files` names the ONNX file of every graph; `weights` the files, shared by graphs and targets, in which weights of a
    graph stand outside it; often there are none. `batches` is the ladder that engines are built for, empty where any
    batch runs. `precision` is what bundle.json says of each graph's arithmetic: "compute" and "weights", and, where
    islands of it stay float32, "islands" (torch path of the module to the reason).
    """

    target: Target
    batches: tuple[int, ...]
    files: Mapping[str, Path]
    weights: Mapping[str, tuple[Path, ...]]
    precision: Mapping[str, Mapping[str, Any]]

    def parts(self, graph: str) -> tuple[Path, ...]:
        """Every file of a graph: its ONNX file, then those of its weights."""
        return (self.files[graph], *self.weights[graph])


def read_targets(folder: Path, info: Mapping[str, Any]) -> dict[str, TargetGraphs]:
    """The targets of a bundle.json, the judge's graph in each of them, as every device runs it.

    Raises KeyError, TypeError or ValueError for an entry that is not one, and WetgenError for an unknown target.
    """
    shared = {JUDGE: info["judge"]} if JUDGE in info["graphs"] else {}
    return {name: _read(folder, name, entry, shared) for name, entry in info["targets"].items()}


def _read(folder: Path, name: str, entry: Mapping[str, Any], shared: Mapping[str, Any]) -> TargetGraphs:
    if name not in TARGETS:
        raise WetgenError(
            f"{folder} holds graphs for a target '{name}'.",
            why=f"this wetgen knows {', '.join(TARGETS)}.",
            fix="install the wetgen that made the bundle, or export it again with the installed one.",
        )
    graphs = {**entry["graphs"], **shared}
    return TargetGraphs(
        target=TARGETS[name],
        batches=tuple(int(batch) for batch in entry.get("batches", ())),
        files={graph: folder / inside(folder, stated["file"]) for graph, stated in graphs.items()},
        weights={
            graph: tuple(folder / inside(folder, file) for file in stated.get("weights", ()))
            for graph, stated in graphs.items()
        },
        precision={graph: dict(stated["precision"]) for graph, stated in graphs.items()},
    )


def named_files(info: Mapping[str, Any]) -> list[str]:
    """Every file that the targets and the judge of a bundle.json name, once each."""
    entries = [graph for target in info["targets"].values() for graph in target["graphs"].values()]
    entries += [info["judge"]] if JUDGE in info["graphs"] else []
    return list(dict.fromkeys(name for entry in entries for name in (entry["file"], *entry.get("weights", ()))))


def graph_entry(file: str, precision: Mapping[str, object], weights: Sequence[str] = ()) -> dict[str, object]:
    """A graph's entry under a target (or the judge's own): its file, the files of its weights, and its precision."""
    return {"file": file, **({"weights": list(weights)} if weights else {}), "precision": dict(precision)}


def target_entry(
    target: Target, graphs: Mapping[str, object], batches: Sequence[int], measured: Mapping[str, object]
) -> dict[str, object]:
    """A target's entry in bundle.json; the batch ladder only where engines are built."""
    ladder = {} if target.tensorrt is None else {"batches": list(batches)}
    return {"opset": target.opset, **ladder, "graphs": dict(graphs), "measured": dict(measured)}
