"""A tiny bundle, and a generator that has it loaded."""

import importlib.util
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from wetgen.runtime.bundle.bundle import Bundle, target_entry
from wetgen.runtime.bundle.targets import TARGETS
from wetgen.runtime.engines.build import BuildOptions, build_engines
from wetgen.runtime.engines.build_progress import BuildStatus
from wetgen.runtime.sampling.generator import Generator


def _tiny_bundle() -> ModuleType:
    """The module beside this file; --import-mode=importlib leaves the tests' folders out of sys.path."""
    if "tiny_bundle" not in sys.modules:
        spec = importlib.util.spec_from_file_location("tiny_bundle", Path(__file__).with_name("tiny_bundle.py"))
        assert spec is not None and spec.loader is not None
        sys.modules["tiny_bundle"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["tiny_bundle"])
    return sys.modules["tiny_bundle"]


def _doubles() -> ModuleType:
    """The package tests/doubles, loaded the same way."""
    if "doubles" not in sys.modules:
        folder = Path(__file__).parents[1] / "doubles"
        init, inside = folder / "__init__.py", [str(folder)]
        spec = importlib.util.spec_from_file_location("doubles", init, submodule_search_locations=inside)
        assert spec is not None and spec.loader is not None
        sys.modules["doubles"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["doubles"])
    return sys.modules["doubles"]


@pytest.fixture(scope="session")
def doubles() -> ModuleType:
    """The doubles of TensorRT and CUDA."""
    return _doubles()


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    """The module that writes tiny bundles."""
    return _tiny_bundle()


@pytest.fixture(scope="session")
def bundle_folder(tiny: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny bundle that nobody changes."""
    return tiny.write_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="session")
def images_only_folder(tiny: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny bundle that draws images without masks and takes no conditioning."""
    return tiny.write_bundle(tmp_path_factory.mktemp("images_only"), tiny.NO_MASK_SIZES)


@pytest.fixture(scope="session")
def mixed_folder(tiny: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny bundle whose plans have every kind of step, for a CPU and for TensorRT."""
    folder = tiny.write_bundle(tmp_path_factory.mktemp("mixed"), tiny.MIXED_SIZES, plans=tiny.mixed_plans())
    _offer_to_tensorrt(folder)
    return folder


@pytest.fixture(scope="session")
def multistep_folder(tiny: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny bundle whose plans are walked with DPM-Solver++, for a CPU and for TensorRT."""
    folder = tiny.write_bundle(tmp_path_factory.mktemp("multistep"), tiny.MIXED_SIZES, plans=tiny.multistep_plans())
    _offer_to_tensorrt(folder)
    return folder


@pytest.fixture(scope="session")
def bundle(bundle_folder: Path) -> Bundle:
    return Bundle.open(bundle_folder)


@pytest.fixture(scope="session")
def generator(bundle: Bundle) -> Generator:
    return Generator(bundle, batch=3, threads=1)


@pytest.fixture(params=["10.3", "11.4"])
def gpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, doubles: ModuleType) -> Iterator[Any]:
    """A GPU that is not there: `cuda` and `trt` are the doubles. Nothing may be left on it when the test ends."""
    cuda = doubles.CudaDouble()
    trt = doubles.TensorRTDouble(cuda, request.param)
    doubles.install(monkeypatch, cuda, trt)
    monkeypatch.setattr("wetgen.runtime.engines.cuda.host_available", lambda: 0)
    yield SimpleNamespace(cuda=cuda, trt=trt, version=request.param)
    cuda.finish()


@pytest.fixture(scope="session")
def exported_folder(tiny: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny bundle with a judge, whose graphs TensorRT may have as they are; without engines."""
    folder = tiny.write_bundle(tmp_path_factory.mktemp("exported"), judge=True)
    _offer_to_tensorrt(folder)
    return folder


def _offer_to_tensorrt(folder: Path) -> None:
    """Let the graphs for a CPU be those of the target jp6, too."""
    info = json.loads((folder / "bundle.json").read_text())
    graphs = info["targets"]["cpu"]["graphs"]
    info["targets"]["jp6"] = target_entry(TARGETS["jp6"], graphs, (1, 2, 4), {})
    (folder / "bundle.json").write_text(json.dumps(info))


@pytest.fixture
def exported(exported_folder: Path, tmp_path: Path) -> Bundle:
    """A copy of that bundle, to build engines into."""
    return Bundle.open(Path(shutil.copytree(exported_folder, tmp_path / "exported")))


@pytest.fixture(scope="session")
def engine_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Engines that were built for a TensorRT version, to be copied: building them takes a second."""
    return {}


@pytest.fixture
def built(exported: Bundle, gpu: Any, engine_folders: dict[str, Path], tmp_path_factory: Any) -> Bundle:
    """The same with engines for batches of 1 and 4."""
    engines = exported.folder / "engines"
    if gpu.version not in engine_folders:
        build_engines(exported, BuildOptions((1, 4)), BuildStatus(None), lambda _: None)
        engine_folders[gpu.version] = Path(shutil.copytree(engines, tmp_path_factory.mktemp("engines") / "engines"))
    elif not engines.exists():
        shutil.copytree(engine_folders[gpu.version], engines)
    return exported
