"""The files that bundle.json lists: exactly those, by size and hash, and for each target the files of its graphs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from wetgen.runtime.bundle.archive import exists, file_sha256, names_in, size_of
from wetgen.runtime.bundle.graphs import JUDGE
from wetgen.runtime.bundle.targets import TARGETS, Target
from wetgen.runtime.errors import WetgenError

JSON_NAME = "bundle.json"
ENGINES = "engines"  # the subfolder for what is built on a device


def inside(folder: Path, name: str) -> str:
    """The name, if it is a plain relative path that stays inside the folder, even through links; or else an error."""
    path = PurePosixPath(name)
    plain = name and "\\" not in name and not path.is_absolute() and ".." not in path.parts
    if not plain or not (folder / name).resolve().is_relative_to(folder.resolve()):
        raise WetgenError(
            f"{folder / JSON_NAME} names '{name}'.",
            why="a bundle may only name files inside its own folder.",
            fix="do not use this bundle; export or copy it again from a source you trust.",
        )
    return name


def check_files(folder: Path, listed: Mapping[str, tuple[int, str]], needed: list[str]) -> None:
    """Raise WetgenError unless the folder holds the files of `listed`, of that size and sha256, and no other.

    `needed` are the files that the rest of bundle.json names: each must be among them.
    """
    _check_extra(folder, set(listed))
    for name in needed:
        if name not in listed:
            raise WetgenError(
                f"{folder / JSON_NAME} states no hash for {name}.",
                why="a file without a hash cannot be verified.",
                fix="export the bundle again with wetgen-export.",
            )
    for name, (size, sha256) in listed.items():
        _check_file(folder / inside(folder, name), size, sha256)


def _check_extra(folder: Path, listed: set[str]) -> None:
    """Raise for a file without a hash: a graph may load weights from any file beside it.

    Hidden files, such as those of file browsers, and engines/, which is filled on devices, are allowed.
    """
    for name in names_in(folder):
        parts = PurePosixPath(name).parts
        hidden = any(part.startswith(".") and part != ".." for part in parts)
        if hidden or parts[0] == ENGINES or name in {JSON_NAME, *listed}:
            continue
        raise WetgenError(
            f"{folder / name} is not part of the bundle.",
            why=f"{JSON_NAME} states no hash for it, so it cannot be verified.",
            fix="move it elsewhere, or copy the bundle again from its source.",
        )


def _check_file(path: Path, size: int, sha256: str) -> None:
    again = "copy the bundle again from its source, or export it again."
    if not exists(path):
        raise WetgenError(f"{path} is missing.", why="bundle.json lists it.", fix=again)
    found = size_of(path)
    if found != size:
        raise WetgenError(f"{path} has {found} bytes.", why=f"it was exported with {size}.", fix=again)
    if file_sha256(path) != sha256:
        raise WetgenError(
            f"{path} was changed after export.", why="its sha256 is not the one in bundle.json.", fix=again
        )


@dataclass(frozen=True)
class TargetGraphs:
    """The graphs of a bundle for one target.

    `files` has the ONNX file of every graph; `weights` the files of weights beside it, which graphs and targets may
    share (often none). `batches` are those that engines are built for, empty where any batch runs. `precision` is the
    entry of bundle.json on each graph's arithmetic: "compute" and "weights", and "islands" (path of a torch module to
    the reason) where parts stay float32.
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
    """The targets in bundle.json; every target includes the judge's graph.

    Raises KeyError, TypeError or ValueError for a malformed entry, and WetgenError for an unknown target.
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
    """Every file that the targets and the judge in bundle.json name, once each."""
    entries = [graph for target in info["targets"].values() for graph in target["graphs"].values()]
    entries += [info["judge"]] if JUDGE in info["graphs"] else []
    return list(dict.fromkeys(name for entry in entries for name in (entry["file"], *entry.get("weights", ()))))


def graph_entry(file: str, precision: Mapping[str, object], weights: Sequence[str] = ()) -> dict[str, object]:
    """The entry of a graph under a target, or of the judge: its file, the files of its weights, and its precision."""
    return {"file": file, **({"weights": list(weights)} if weights else {}), "precision": dict(precision)}


def target_entry(
    target: Target, graphs: Mapping[str, object], batches: Sequence[int], measured: Mapping[str, object]
) -> dict[str, object]:
    """The entry of a target in bundle.json; it has batches only if engines are built for the target."""
    ladder = {} if target.tensorrt is None else {"batches": list(batches)}
    return {"opset": target.opset, **ladder, "graphs": dict(graphs), "measured": dict(measured)}
