"""A tiny bundle, and a generator that has it loaded."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from wetgen.runtime.bundle import Bundle
from wetgen.runtime.generator import Generator


def _tiny_bundle() -> ModuleType:
    """The module beside this file; --import-mode=importlib leaves the tests' folders out of sys.path."""
    if "tiny_bundle" not in sys.modules:
        spec = importlib.util.spec_from_file_location("tiny_bundle", Path(__file__).with_name("tiny_bundle.py"))
        assert spec is not None and spec.loader is not None
        sys.modules["tiny_bundle"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["tiny_bundle"])
    return sys.modules["tiny_bundle"]


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
def bundle(bundle_folder: Path) -> Bundle:
    return Bundle.open(bundle_folder)


@pytest.fixture(scope="session")
def generator(bundle: Bundle) -> Generator:
    return Generator(bundle, batch=3, threads=1)
