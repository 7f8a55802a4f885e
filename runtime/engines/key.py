"""Engine files, each with a key: what it was built from, by which TensorRT, for which GPU.

TensorRT crashes, hangs or draws wrong pictures from an engine that does not fit. So the key, a JSON file beside the
engine, and the engine's sha256 are checked before TensorRT reads a byte.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from wetgen.runtime.bundle.archive import ENGINES, archive_of, exists, mapped, read_stored, size_of
from wetgen.runtime.bundle.bundle import Bundle, TargetGraphs
from wetgen.runtime.bundle.targets import version_numbers
from wetgen.runtime.engines.cuda import Gpu
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import atomic_write, os_errors

FORMAT = 1


@dataclass(frozen=True)
class EngineKey:
    """Everything that an engine depends on. `text_sha256` and `plans_sha256` only tell why `graph_sha256` differs.

    A version-compatible engine also runs on TensorRT versions after its own.
    """

    graph: str
    target: str
    batch: int
    shapes: dict[str, list[int]]  # of every input and output
    graph_sha256: str  # of the ONNX file and the files of its weights
    text_sha256: str  # the same of the text graph, which every plan of one checkpoint shares
    plans_sha256: str
    tensorrt: str
    version_compatible: bool
    gpu: str
    capability: tuple[int, int]
    multiprocessors: int

    def __str__(self) -> str:
        return f"{self.graph}, batch {self.batch}"


@dataclass(frozen=True)
class EngineFile:
    """An engine and its key file, the key it must have on this machine, and the command that builds it."""

    path: Path
    key: EngineKey
    rebuild: str

    @property
    def key_path(self) -> Path:
        return self.path.with_name(f"{self.path.name}.json")

    def write(self, engine: memoryview, built: Mapping[str, object]) -> None:
        """Store an engine and its key; `built` says how it was made. If the process is killed, no engine is valid."""
        with os_errors(self.path.parent, "created"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        with os_errors(self.key_path, "removed"):
            self.key_path.unlink(missing_ok=True)  # an old key must not meet the new engine
        atomic_write(self.path, engine)
        file = {"bytes": engine.nbytes, "sha256": hashlib.sha256(engine).hexdigest()}
        stated = {"format": FORMAT, "key": asdict(self.key), "file": file, "built": dict(built)}
        atomic_write(self.key_path, (json.dumps(stated, indent=1) + "\n").encode())

    def check(self) -> dict[str, Any]:
        """The contents of the key file. Raises WetgenError unless the key fits and the engine's size is right."""
        if not exists(self.path) or not exists(self.key_path):
            unfinished = "it has no key file: its build was interrupted"
            why = unfinished if exists(self.path) else "it was never built here"
            raise self._error("is missing", why)
        for file in (self.key_path, self.path):
            if archive_of(file) is None and not os.access(file, os.R_OK):
                raise WetgenError(
                    f"{file} may not be read.",
                    why="permission is denied: another user built it, or the folder was copied as root.",
                    fix=f"sudo chown -R $USER {file.parent}, or build it again as this user: {self.rebuild}",
                )
        stated, found = self._read_key()
        for what, why in _mismatches(found, self.key):
            raise self._error(what, why)
        size, written = size_of(self.path), stated["file"]["bytes"]
        if size != written:
            raise self._error(f"is truncated: it has {size} bytes", f"it was written with {written}")
        return stated

    @contextmanager
    def verified(self) -> Iterator[memoryview]:
        """The bytes of the engine, mapped from its file while the block runs; raises WetgenError as `check` does.

        Mapped, because on a Jetson a second copy of the weights would use memory that the GPU needs.
        """
        stated = self.check()
        with mapped(self.path) as view:
            if hashlib.sha256(view).hexdigest() != stated["file"]["sha256"]:
                raise self._error(
                    "was changed after it was built",
                    "its sha256 is not the one in its key; TensorRT would crash on it, or draw wrong pictures",
                )
            yield view

    def _read_key(self) -> tuple[dict[str, Any], EngineKey]:
        try:
            stated = json.loads(read_stored(self.key_path))
            if stated["format"] != FORMAT:
                raise ValueError(f"its format is {stated['format']}, and this wetgen reads {FORMAT}")
            values = {field.name: stated["key"][field.name] for field in fields(EngineKey)}
            values["capability"] = tuple(values["capability"])
            int(stated["file"]["bytes"]), str(stated["file"]["sha256"])
        except (KeyError, TypeError, ValueError) as error:
            raise WetgenError(
                f"The key of the engine {self.path} cannot be read.",
                why=f"{type(error).__name__}: {error}.",
                fix=self.rebuild,
            ) from error
        return stated, EngineKey(**values)

    def _error(self, what: str, why: str) -> WetgenError:
        return WetgenError(f"The engine {self.path} {what}.", why=f"{why}.", fix=self.rebuild)


def engine_file(
    bundle: Bundle, graphs: TargetGraphs, name: str, batch: int, gpu: Gpu, tensorrt: str, compatible: bool = False
) -> EngineFile:
    """The engine of the graph called `name` that draws `batch` pairs at a time on this machine, built or not."""
    rebuild = rebuild_command(bundle, graphs.target.name, [batch])
    batch = 1 if name == "text" else batch  # prompts are always encoded one at a time
    graph = bundle.graphs[name]
    key = EngineKey(
        graph=name,
        target=graphs.target.name,
        batch=batch,
        shapes={tensor.name: list(tensor.sizes(batch)) for tensor in (*graph.inputs, *graph.outputs)},
        graph_sha256=_graph_sha256(bundle, graphs, name),
        text_sha256=_graph_sha256(bundle, graphs, "text"),
        plans_sha256=hashlib.sha256(json.dumps(bundle.info["plans"], sort_keys=True).encode()).hexdigest(),
        tensorrt=tensorrt,
        version_compatible=compatible,
        gpu=gpu.name,
        capability=gpu.capability,
        multiprocessors=gpu.multiprocessors,
    )
    return EngineFile(bundle.folder / ENGINES / f"{name}.{key.target}.b{batch}.engine", key, rebuild)


def _graph_sha256(bundle: Bundle, graphs: TargetGraphs, name: str) -> str:
    """One hash over the files of a graph, from the hashes with which the bundle was verified."""
    files = [path.relative_to(bundle.folder).as_posix() for path in graphs.parts(name)]
    return hashlib.sha256("".join(bundle.info["files"][file]["sha256"] for file in files).encode()).hexdigest()


def rebuild_command(bundle: Bundle, target: str, batches: Sequence[int]) -> str:
    """The command that builds engines; a packed bundle must be unpacked first."""
    folder, options = bundle.folder, f"--target {target} --batches {','.join(map(str, batches))}"
    if archive_of(folder) is None:
        return f"wetgen build {folder} {options}"
    name = folder.name.split(".")[0]
    return f"unzip {folder} -d {name}; wetgen build {name} {options}"


def _mismatches(found: EngineKey, own: EngineKey) -> Iterator[tuple[str, str]]:
    """How the `found` engine differs from this machine's `own`, and why that matters, the most telling first.

    The GPU's name may differ: it changes with drivers.
    """
    if found.graph != own.graph:
        yield f"is of the graph '{found.graph}'", f"it should be of '{own.graph}': files were renamed"
    if found.target != own.target:
        yield f"is for the target {found.target}", f"it should be for {own.target}: files were renamed"
    if (found.batch, found.shapes) != (own.batch, own.shapes):
        yield f"is for batches of {found.batch}", f"{own.batch} at a time are needed, and its shapes are fixed"
    if found.graph_sha256 != own.graph_sha256:
        if found.text_sha256 != own.text_sha256:
            yield "is from another bundle", "it was built from the export of another checkpoint"
        if found.plans_sha256 != own.plans_sha256:
            yield "is for other sampling plans", "the bundle was exported again with other sampling plans"
        yield "was built from another graph", "the bundle was exported again since, and its graph changed"
    if found.capability != own.capability:
        theirs, ours = (f"{k.gpu} (compute capability {k.capability[0]}.{k.capability[1]})" for k in (found, own))
        yield f"was built on another GPU, {theirs}", f"this machine has {ours}"
    if found.multiprocessors != own.multiprocessors:
        theirs, ours = (f"{key.gpu}, {key.multiprocessors} multiprocessors" for key in (found, own))
        why = f"this one is {ours}; an engine tuned to another number may hang without an error"
        yield f"was built on a GPU of another size: {theirs}", why
    if version_numbers(found.tensorrt) > version_numbers(own.tensorrt):
        why = f"{own.tensorrt} is installed, and no TensorRT reads engines of a later one"
        yield f"was built by a newer TensorRT, {found.tensorrt}", why
    if found.tensorrt != own.tensorrt and not found.version_compatible:
        why = f"{own.tensorrt} is installed, and the engine is not version-compatible"
        yield f"was built by an older TensorRT, {found.tensorrt}", why
