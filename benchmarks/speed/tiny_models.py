"""ONNX models of one operator, written as protobuf by hand: the lean install has no onnx package.

Field numbers are those of onnx.proto (github.com/onnx/onnx), the encoding is protobuf's: a key of field number and wire
type, then a variable-length integer (0) or a length and that many bytes (2).
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

IR_VERSION, OPSET = 8, 13
_TYPES = {"float32": 1, "float16": 10}
_INTS = 7  # AttributeProto.INTS

_Weights = NDArray[np.float32] | NDArray[np.float16]


def one_operator(
    operator: str,
    shape: Sequence[int],
    result: Sequence[int],
    weights: _Weights | None = None,
    *,
    dtype: str = "float32",
    attributes: Mapping[str, Sequence[int]] | None = None,
) -> bytes:
    """A model `y = operator(x)`, or `operator(x, weights)`, for an `x` of a fixed shape; attributes are integers."""
    inputs = ["x", *([] if weights is None else ["w"])]
    node = b"".join(_text(1, name) for name in inputs) + _text(2, "y") + _text(4, operator)
    for name, values in ({} if attributes is None else attributes).items():
        node += _bytes(5, _text(1, name) + b"".join(_number(8, value) for value in values) + _number(20, _INTS))
    graph = _bytes(1, node) + _text(2, operator)
    if weights is not None:
        dims = b"".join(_number(1, size) for size in weights.shape)
        graph += _bytes(5, dims + _number(2, _TYPES[dtype]) + _text(8, "w") + _bytes(9, weights.tobytes()))
    graph += _bytes(11, _value("x", shape, dtype)) + _bytes(12, _value("y", result, dtype))
    return _number(1, IR_VERSION) + _bytes(7, graph) + _bytes(8, _number(2, OPSET))


def _value(name: str, shape: Sequence[int], dtype: str) -> bytes:
    axes = b"".join(_bytes(1, _number(1, size)) for size in shape)
    return _text(1, name) + _bytes(2, _bytes(1, _number(1, _TYPES[dtype]) + _bytes(2, axes)))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _text(field: int, text: str) -> bytes:
    return _bytes(field, text.encode())


def _varint(value: int) -> bytes:
    """Seven bits a byte, the low ones first; the top bit says that more follow."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])
