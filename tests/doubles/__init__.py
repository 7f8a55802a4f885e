"""Doubles of a GPU's packages; see README.md."""

import sys
from types import ModuleType

from .cuda_double import CudaDouble, Misuse
from .onnxruntime_double import OnnxRuntimeDouble
from .stubs import NotInTheBindings
from .tensorrt_double import VERSIONS, Crash, TensorRTDouble

__all__ = [
    "VERSIONS",
    "Crash",
    "CudaDouble",
    "Misuse",
    "NotInTheBindings",
    "OnnxRuntimeDouble",
    "TensorRTDouble",
    "install",
]


def install(monkeypatch, cuda, tensorrt=None):
    """Put the doubles where `import` finds them."""
    packages = {"cuda": ModuleType("cuda"), "cuda.bindings": ModuleType("cuda.bindings")}
    packages["cuda"].bindings = packages["cuda.bindings"]
    packages["cuda.bindings"].runtime = cuda.module
    for name, package in packages.items():
        package.__path__ = []
        package.__spec__ = cuda.module.__spec__
        monkeypatch.setitem(sys.modules, name, package)
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", cuda.module)
    if tensorrt is not None:
        monkeypatch.setitem(sys.modules, "tensorrt", tensorrt.module)
