"""Weights that several graphs share stand in the folder once."""

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from wetgen.export.onnx.weights import LEAST_SHARED, WeightStore


def graph_of(folder: Path, name: str, store: WeightStore, **weights: np.ndarray) -> tuple[Path, list[str]]:
    """A graph that only holds weights, written with the large ones in the store."""
    border = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    tensors = [numpy_helper.from_array(value, weight) for weight, value in weights.items()]
    node = helper.make_node("Identity", ["x"], ["y"])
    proto = helper.make_graph([node], "g", [border], [helper.make_tensor_value_info("y", 1, [1])], tensors)
    model = ir.from_proto(helper.make_model(proto, opset_imports=[helper.make_opsetid("", 20)], ir_version=9))
    files = store.move_out(model)
    ir.save(model, folder / name)
    return folder / name, files


def place_of(path: Path, name: str) -> dict[str, str]:
    """Where a weight stands outside its graph; empty for one inside."""
    (weight,) = (w for w in onnx.load(str(path), load_external_data=False).graph.initializer if w.name == name)
    return {entry.key: entry.value for entry in weight.external_data}


RNG = np.random.default_rng(0)
LARGE, OTHER = RNG.standard_normal((300, 200)).astype(np.float16), RNG.standard_normal((40, 40)).astype(np.float32)


def test_equal_weights_of_two_graphs_stand_once_and_are_read_back(tmp_path: Path):
    store = WeightStore(tmp_path)
    one, files = graph_of(tmp_path, "one.onnx", store, a=LARGE, b=OTHER, c=OTHER[:2, :2])
    two, _ = graph_of(tmp_path, "two.onnx", store, other_name=LARGE.copy(), more=LARGE + 1)
    assert files == ["weights.float16.data", "weights.float32.data"]
    assert place_of(one, "a") == place_of(two, "other_name") and place_of(one, "a")["location"] == files[0]
    assert place_of(one, "c") == {}
    assert (tmp_path / files[0]).stat().st_size < 2 * LARGE.nbytes + 4096
    for path, expected in ((one, {"a": LARGE, "b": OTHER, "c": OTHER[:2, :2]}), (two, {"more": LARGE + 1})):
        read = {w.name: numpy_helper.to_array(w) for w in onnx.load(str(path)).graph.initializer}
        for name, value in expected.items():
            np.testing.assert_array_equal(read[name], value)


def test_large_weights_begin_on_pages(tmp_path: Path):
    store = WeightStore(tmp_path)
    path, _ = graph_of(tmp_path, "g.onnx", store, small=OTHER[:, :10].astype(np.float16), large=LARGE, last=LARGE + 1)
    assert int(place_of(path, "large")["offset"]) % 4096 == int(place_of(path, "last")["offset"]) % 4096 == 0
    assert int(place_of(path, "small").get("offset", 0)) % 64 == 0


@pytest.mark.parametrize("size, outside", [(LEAST_SHARED, True), (LEAST_SHARED - 4, False)])
def test_what_is_small_stays_inside(tmp_path: Path, size: int, outside: bool):
    path, files = graph_of(tmp_path, "g.onnx", WeightStore(tmp_path), a=np.ones(size // 4, np.float32))
    assert bool(files) == outside == bool(place_of(path, "a"))


def test_the_same_numbers_of_another_type_are_other_weights(tmp_path: Path):
    bits = np.arange(2000, dtype=np.float64)
    store = WeightStore(tmp_path)
    path, files = graph_of(
        tmp_path, "g.onnx", store, a=bits, first=OTHER, b=bits.view(np.float32), c=bits.view(np.int64)
    )
    assert files == ["weights.float32.data", "weights.float64.data"]  # and integers stay inside
    read = {w.name: numpy_helper.to_array(w) for w in onnx.load(str(path)).graph.initializer}
    np.testing.assert_array_equal(read["a"], bits)
    np.testing.assert_array_equal(read["b"], bits.view(np.float32))
