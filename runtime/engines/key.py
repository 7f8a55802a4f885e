"""The key of an engine file: what it was built from, by which TensorRT, for which GPU.

TensorRT crashes, hangs or draws wrong pictures from an engine that does not belong, so wetgen reads the key, which is
a JSON file beside the engine, and the engine's sha256, before TensorRT sees a byte.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from wetgen.runtime.bundle.archive import archive_of, exists, mapped, read_stored, size_of
from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.bundle.graphs import Graph
from wetgen.runtime.bundle.manifest import ENGINES, TargetGraphs
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


def key_of(
    bundle: Bundle, held: TargetGraphs, graph: str, batch: int, *, gpu: Gpu, tensorrt: str, version_compatible: bool
) -> EngineKey:
    """The key that an engine for this graph of the bundle, at this batch, has on this machine."""
    return EngineKey(
        graph=graph,
        target=held.target.name,
        batch=batch,
        shapes=shapes_at(bundle.graphs[graph], batch),
        graph_sha256=_parts_sha256(bundle, held, graph),
        text_sha256=_parts_sha256(bundle, held, "text"),
        plans_sha256=hashlib.sha256(json.dumps(bundle.info["plans"], sort_keys=True).encode()).hexdigest(),
        tensorrt=tensorrt,
        version_compatible=version_compatible,
        gpu=gpu.name,
        capability=gpu.capability,
        multiprocessors=gpu.multiprocessors,
    )


def shapes_at(graph: Graph, batch: int) -> dict[str, list[int]]:
    """The shape of every input and output of a graph at a batch, by name."""
    return {tensor.name: list(tensor.sizes(batch)) for tensor in (*graph.inputs, *graph.outputs)}


def _parts_sha256(bundle: Bundle, held: TargetGraphs, graph: str) -> str:
    """One hash over the files of a graph, from the hashes with which the bundle was verified."""
    names = [path.relative_to(bundle.folder).as_posix() for path in held.parts(graph)]
    return hashlib.sha256("".join(bundle.info["files"][name]["sha256"] for name in names).encode()).hexdigest()


def engine_path(bundle: Bundle, key: EngineKey) -> Path:
    """Where a bundle keeps the engine of that graph, target and batch; its key stands beside it."""
    return bundle.folder / ENGINES / f"{key.graph}.{key.target}.b{key.batch}.engine"


def key_path(engine: Path) -> Path:
    """The JSON file that holds an engine's key."""
    return engine.with_name(f"{engine.name}.json")


def rebuild_command(bundle: Bundle, target: str, batches: Sequence[int]) -> str:
    """The command that builds what is missing or does not fit; out of a packed bundle nothing can be built."""
    folder = bundle.folder
    if archive_of(folder) is None:
        return f"wetgen build {folder} --target {target} --batches {','.join(map(str, batches))}"
    name = folder.name.split(".")[0]
    return f"unzip {folder} -d {name}; wetgen build {name} --target {target} --batches {','.join(map(str, batches))}"


def write_engine(path: Path, engine: memoryview, key: EngineKey, built: Mapping[str, object]) -> None:
    """Store an engine and its key, `built` saying how it was made. A kill on the way leaves nothing that passes."""
    with os_errors(path.parent, "created"):
        path.parent.mkdir(parents=True, exist_ok=True)
    with os_errors(key_path(path), "removed"):
        key_path(path).unlink(missing_ok=True)  # an old key must not meet the new engine
    atomic_write(path, engine)
    file = {"bytes": engine.nbytes, "sha256": hashlib.sha256(engine).hexdigest()}
    stated = {"format": FORMAT, "key": asdict(key), "file": file, "built": dict(built)}
    atomic_write(key_path(path), (json.dumps(stated, indent=1) + "\n").encode())


def check_engine(path: Path, wanted: EngineKey, rebuild: str) -> dict[str, Any]:
    """What the key file states; raises WetgenError unless the key fits `wanted` and the engine's size is right."""
    if not exists(path) or not exists(key_path(path)):
        half = "its key was never written: the build was cut short" if exists(path) else "it was never built here"
        raise WetgenError(f"The engine {path} is missing.", why=f"{half}.", fix=rebuild)
    for file in (key_path(path), path):
        _check_permitted(file, rebuild)
    stated, found = _read_key(path, rebuild)
    fault = _mismatch(found, wanted)
    if fault is not None:
        raise WetgenError(f"The engine {path} {fault[0]}.", why=f"{fault[1]}.", fix=rebuild)
    size = size_of(path)
    if size != stated["file"]["bytes"]:
        raise WetgenError(
            f"The engine {path} is truncated: it has {size} bytes.",
            why=f"it was written with {stated['file']['bytes']}.",
            fix=rebuild,
        )
    return stated


@contextmanager
def verified_engine(path: Path, wanted: EngineKey, rebuild: str) -> Iterator[memoryview]:
    """The bytes of an engine whose key and sha256 are right, mapped from the file while the block runs.

    Mapped, because on a Jetson a second copy of the weights would come out of the memory that the GPU needs.
    """
    stated = check_engine(path, wanted, rebuild)
    with mapped(path) as view:
        if hashlib.sha256(view).hexdigest() != stated["file"]["sha256"]:
            raise WetgenError(
                f"The engine {path} was changed after it was built.",
                why="its sha256 is not the one in its key; TensorRT would crash on it, or draw wrong pictures.",
                fix=rebuild,
            )
        yield view


def _read_key(path: Path, rebuild: str) -> tuple[dict[str, Any], EngineKey]:
    try:
        stated = json.loads(read_stored(key_path(path)))
        if stated["format"] != FORMAT:
            raise ValueError(f"its format is {stated['format']}, and this wetgen reads {FORMAT}")
        values = {field.name: stated["key"][field.name] for field in fields(EngineKey)}
        values["capability"] = tuple(values["capability"])
        int(stated["file"]["bytes"]), str(stated["file"]["sha256"])
    except (KeyError, TypeError, ValueError) as error:
        raise WetgenError(
            f"The key of the engine {path} cannot be read.", why=f"{type(error).__name__}: {error}.", fix=rebuild
        ) from error
    return stated, EngineKey(**values)


def _check_permitted(path: Path, rebuild: str) -> None:
    """Raise WetgenError for a file that stands there and may not be read."""
    if archive_of(path) is not None:
        return  # the bundle itself was read out of that file
    try:
        path.open("rb").close()
    except PermissionError as error:
        raise WetgenError(
            f"{path} may not be read.",
            why=f"permission is denied ({error.strerror}): another user built it, or the folder was copied as root.",
            fix=f"sudo chown -R $USER {path.parent}, or build it anew as this user: {rebuild}",
        ) from error
    except OSError:
        return  # told when it is read, in the words for the system's error


def _mismatch(found: EngineKey, wanted: EngineKey) -> tuple[str, str] | None:
    """What an engine was built for instead of what is wanted, and why that matters; None when it fits."""
    for fault in (_other_part, _other_source, _other_gpu, _other_tensorrt):
        told = fault(found, wanted)
        if told is not None:
            return told
    return None


def _other_part(found: EngineKey, wanted: EngineKey) -> tuple[str, str] | None:
    """It is in the place of another engine of its bundle."""
    if found.graph != wanted.graph:
        return f"is of the graph '{found.graph}'", f"'{wanted.graph}' is wanted in its place: files were renamed"
    if found.target != wanted.target:
        return f"is for the target {found.target}", f"{wanted.target} is wanted in its place: files were renamed"
    if found.batch != wanted.batch or found.shapes != wanted.shapes:
        return f"is for batches of {found.batch}", f"{wanted.batch} at a time are wanted, and its shapes are fixed"
    return None


def _other_source(found: EngineKey, wanted: EngineKey) -> tuple[str, str] | None:
    """It was built from other graphs than this bundle's."""
    if found.graph_sha256 == wanted.graph_sha256:
        return None
    if found.text_sha256 != wanted.text_sha256:
        return "is from another bundle", "it was built from the export of another checkpoint"
    if found.plans_sha256 != wanted.plans_sha256:
        return "is for other sampling plans", "the bundle was exported again with other plans, which are in the graph"
    return "was built from another graph", "the bundle was exported again since, and its graph changed"


def _other_gpu(found: EngineKey, wanted: EngineKey) -> tuple[str, str] | None:
    """It was tuned for other hardware. The GPU's name alone is no fault: it changes with drivers."""
    if found.capability != wanted.capability:
        have, want = (f"{key.gpu} (compute capability {_dotted(key.capability)})" for key in (found, wanted))
        return f"was built on another GPU, {have}", f"this machine has {want}"
    if found.multiprocessors != wanted.multiprocessors:
        have, want = (f"{key.gpu}, {key.multiprocessors} multiprocessors" for key in (found, wanted))
        return (
            f"was built on a GPU of another size: {have}",
            f"this one is {want}; an engine tuned to another number may hang without an error",
        )
    return None


def _other_tensorrt(found: EngineKey, wanted: EngineKey) -> tuple[str, str] | None:
    """It was built by a TensorRT that wrote another format."""
    if found.tensorrt == wanted.tensorrt:
        return None
    if version_numbers(found.tensorrt) > version_numbers(wanted.tensorrt):
        return (
            f"was built by a newer TensorRT, {found.tensorrt}",
            f"{wanted.tensorrt} is installed, and no TensorRT reads engines of a later one",
        )
    if found.version_compatible:
        return None
    return (
        f"was built by an older TensorRT, {found.tensorrt}",
        f"{wanted.tensorrt} is installed, and the engine is not version-compatible",
    )


def _dotted(capability: tuple[int, int]) -> str:
    return f"{capability[0]}.{capability[1]}"
