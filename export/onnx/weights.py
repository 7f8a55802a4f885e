"""The weights that graphs and targets of a bundle share: files in which equal tensors stand once, whoever has them."""

import hashlib
from pathlib import Path

import numpy as np
import onnx_ir as ir

# Bytes. Smaller ones (scales, biases) stay inside the graphs, as do integers and masks: engines fold them.
LEAST_SHARED = 1024
_PAGE = 4096  # where large tensors begin, so that a file can be mapped into memory tensor by tensor
_LINE = 64  # where the others begin
_LARGE = 64 * 1024
_NAMES = {ir.DataType.FLOAT: "float32", ir.DataType.DOUBLE: "float64"}  # where ONNX's own name is another


class WeightStore:
    """One file per type in the folder of a bundle, `weights.float16.data` and so on, that grows as graphs are added."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._places: dict[tuple[str, str], int] = {}  # (file, sha256 of the bytes) to the offset

    def move_out(self, model: ir.Model) -> list[str]:
        """Point every large weight of a model at the store, adding what it lacks; returns the files it points at."""
        files: list[str] = []
        for value in model.graph.initializers.values():
            tensor = value.const_value
            if tensor is None or tensor.nbytes < LEAST_SHARED or not tensor.dtype.is_floating_point():
                continue
            file = f"weights.{_NAMES.get(tensor.dtype, tensor.dtype.name.lower())}.data"
            value.const_value = ir.ExternalTensor(
                location=file,
                offset=self._place(file, tensor),
                length=tensor.nbytes,
                dtype=tensor.dtype,
                shape=ir.Shape(tensor.shape.numpy()),
                name=str(value.name),
                base_dir=self._folder,
            )
            if file not in files:
                files.append(file)
        return sorted(files)

    def _place(self, file: str, tensor: ir.TensorProtocol) -> int:
        """The offset of a tensor's bytes in a file, which gets them if it has not."""
        data = tensor.tobytes()  # little-endian, as ONNX stores them
        key = (file, hashlib.sha256(data).hexdigest())
        if key not in self._places:
            path = self._folder / file
            end = path.stat().st_size if path.exists() else 0
            step = _PAGE if len(data) >= _LARGE else _LINE
            offset = -(-end // step) * step
            with path.open("ab") as out:
                out.write(bytes(offset - end))
                out.write(data)
            self._places[key] = offset
        return self._places[key]


def size(model: ir.Model) -> int:
    """The bytes of all weights of a model."""
    return int(np.sum([v.const_value.nbytes for v in model.graph.initializers.values() if v.const_value is not None]))
