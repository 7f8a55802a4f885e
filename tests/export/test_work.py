"""The work of graphs: equal to torch's own count on the same wrapper, and to arithmetic by hand."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from wetgen.export.graphs import denoisers, wrappers
from wetgen.export.graphs.cross_attention import keys_and_values
from wetgen.export.work import Work, count, work_of_graph
from wetgen.runtime.bundle.bundle import Bundle, open_bundle
from wetgen.runtime.errors import WetgenError

OPSETS = [helper.make_opsetid("", 20), helper.make_opsetid("some.where", 1)]


def counted_by_torch(wrapper: torch.nn.Module, feed: list[torch.Tensor]) -> int:
    # torch does not count the fused attention of its CPU kernels; taken apart into products it does.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        wrapper(*feed)
    return int(counter.get_total_flops())


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", ["text", "denoise", "decode", "encode"])
def test_flops_are_those_that_torch_counts(networks, pair_bundle: Bundle, name: str, batch: int) -> None:
    steps = [step for plan in pair_bundle.plans.values() for step in plan.steps]
    sizes, graph = pair_bundle.sizes, pair_bundle.graphs[name]
    wrapper = {
        "text": lambda: wrappers.text(networks.text_encoder, keys_and_values(networks.unet)),
        "denoise": lambda: denoisers.denoise(networks.unet, steps, sizes),
        "decode": lambda: wrappers.decode(networks.vae, sizes),
        "encode": lambda: wrappers.encode(networks.vae, sizes),
    }[name]()
    feed = [torch.zeros(tensor.sizes(batch), dtype=getattr(torch, tensor.dtype)) for tensor in graph.inputs]
    constant, slope = pair_bundle.info["work"]["cpu"][name]["flops"]
    assert constant + slope * batch == pytest.approx(counted_by_torch(wrapper, feed), rel=0.02)
    assert slope > 0


def test_every_graph_of_every_target_is_counted(pair_bundle: Bundle) -> None:
    assert set(pair_bundle.info["work"]) == set(pair_bundle.targets)
    for target, graphs in pair_bundle.info["work"].items():
        assert set(graphs) == set(pair_bundle.targets[target].files)
        for lines in graphs.values():
            assert set(lines) == {"flops", "bytes"} and lines["flops"][1] > 0


def test_the_shipped_bundle_states_what_is_counted_now() -> None:
    bundle = open_bundle(None)
    for target, graphs in bundle.info["work"].items():
        for name in ("text", "denoise_guided_reuse"):
            counted = work_of_graph(Path(bundle.targets[target].files[name]))
            assert counted == {kind: graphs[name][kind] for kind in ("flops", "bytes")}, (target, name)


def model(path: Path, nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray], shape: list[object]) -> Path:
    """A graph from `x` to `y`, both of that shape; "B" is the batch."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=OPSETS, ir_version=9), path)
    return path


def test_a_convolution_by_hand(tmp_path: Path) -> None:
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])
    file = model(tmp_path / "g.onnx", [node], {"w": np.zeros((8, 4, 3, 3), np.float32)}, ["B", 4, 10, 10])
    weights, x, y = 4 * 8 * 4 * 9, 4 * 400, 4 * 800
    assert count(file, 1) == Work(2 * 800 * 4 * 9, weights + x + y)
    assert work_of_graph(file) == {"flops": [0, 2 * 800 * 36], "bytes": [weights, x + y]}


def test_groups_and_strides_and_transposed_convolutions(tmp_path: Path) -> None:
    grouped = helper.make_node("Conv", ["x", "w"], ["y"], group=4, strides=[2, 2])
    file = model(tmp_path / "g.onnx", [grouped], {"w": np.zeros((8, 1, 2, 2), np.float32)}, ["B", 4, 10, 10])
    assert count(file, 1).flops == 2 * (8 * 25) * 4
    transposed = helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2])
    file = model(tmp_path / "t.onnx", [transposed], {"w": np.zeros((4, 8, 2, 2), np.float32)}, ["B", 4, 10, 10])
    assert count(file, 1).flops == 2 * 400 * 8 * 4  # each input element meets 8 x 2 x 2 weights


def test_a_transposed_gemm_by_hand(tmp_path: Path) -> None:
    node = helper.make_node("Gemm", ["w", "x"], ["y"], transA=1)
    file = model(tmp_path / "g.onnx", [node], {"w": np.zeros((6, 5), np.float32)}, [6, 7])
    assert count(file, 1).flops == 2 * 5 * 7 * 6


def test_shapes_that_are_computed_from_the_batch_are_found(tmp_path: Path) -> None:
    """Half of a doubled batch is cut out by a number that the graph computes, as the denoiser does it."""
    nodes = [
        helper.make_node("Shape", ["x"], ["size"], end=1),
        helper.make_node("Concat", ["x", "x"], ["both"], axis=0),
        helper.make_node("Mul", ["size", "one"], ["until"]),
        helper.make_node("Slice", ["both", "zero", "until", "zero"], ["half"]),
        helper.make_node("MatMul", ["half", "w"], ["y"]),
    ]
    weights = {"w": np.zeros((4, 4), np.float32), "one": np.array([1]), "zero": np.array([0])}
    assert count(model(tmp_path / "g.onnx", nodes, weights, ["B", 4]), 3).flops == 2 * 3 * 16


def test_what_is_computed_when_a_graph_is_loaded_is_free(tmp_path: Path) -> None:
    """A float16 weight is cast once; what is read at every call is the float32."""
    nodes = [
        helper.make_node("Cast", ["w"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["x", "wide"], ["product"]),
        helper.make_node("Reshape", ["product", "to"], ["y"]),
    ]
    weights = {"w": np.zeros((4, 4), np.float16), "to": np.array([-1, 2, 2])}
    found = count(model(tmp_path / "g.onnx", nodes, weights, ["B", 4]), 2)
    assert found == Work(2 * 2 * 16, 64 + 32 + 32)


def test_attention_is_two_products(tmp_path: Path) -> None:
    node = helper.make_node("Attention", ["x", "x", "x"], ["y"])
    graph = helper.make_graph(
        [node],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["B", 2, 16, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["B", 2, 16, 8])],
    )
    file = tmp_path / "g.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10), file)
    assert count(file, 3).flops == 3 * 2 * (2 * 16 * 16 * 8) * 2


@pytest.mark.parametrize(
    ("nodes", "why"),
    [
        ([helper.make_node("Einsum", ["x", "w"], ["y"], equation="bi,ij->bj")], "nobody taught this count"),
        (
            [
                helper.make_node("Unheard", ["x"], ["z"], domain="some.where"),
                helper.make_node("MatMul", ["z", "w"], ["y"]),
            ],
            "shape of 'z'",
        ),
    ],
)
def test_what_cannot_be_counted_is_an_error(tmp_path: Path, nodes: list[onnx.NodeProto], why: str) -> None:
    file = model(tmp_path / "g.onnx", nodes, {"w": np.zeros((4, 4), np.float32)}, ["B", 4])
    with pytest.raises(WetgenError, match=why):
        count(file, 1)


def test_work_that_grows_faster_than_the_batch_is_an_error(tmp_path: Path) -> None:
    """A product of the batch with itself is no constant plus so much per pair."""
    nodes = [helper.make_node("Transpose", ["x"], ["t"]), helper.make_node("MatMul", ["x", "t"], ["y"])]
    with pytest.raises(WetgenError, match="in proportion"):
        work_of_graph(model(tmp_path / "g.onnx", nodes, {}, ["B", 4]))
