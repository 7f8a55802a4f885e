"""Quantizing for the comparison: what is asked for becomes int8, the ends stay, and the gate is that of export."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from wetgen.benchmarks.int8 import CANDIDATES, Candidate, passes, quantized

LONG = 6  # convolutions in a row
KINDS = ("Conv", "MatMul")


@pytest.fixture
def chain(tmp_path: Path) -> SimpleNamespace:
    """What `quantized` asks of a bundle, with a graph of convolutions and a product at its end."""
    rng = np.random.default_rng(0)
    nodes, names = [], ["latent", *(f"v{n}" for n in range(LONG))]
    weights = [
        numpy_helper.from_array(rng.standard_normal((4, 4, 3, 3)).astype(np.float32), f"w{n}") for n in range(LONG)
    ]
    for n in range(LONG):
        nodes.append(helper.make_node("Conv", [names[n], f"w{n}"], [names[n + 1]], f"Conv_{n}", pads=[1, 1, 1, 1]))
    weights.append(numpy_helper.from_array(rng.standard_normal((5, 5)).astype(np.float32), "m"))
    nodes.append(helper.make_node("MatMul", [names[-1], "m"], ["image"], "MatMul_0"))
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["B", 4, 5, 5]) for name in ("latent", "image")]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], weights)
    path = tmp_path / "chain.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return SimpleNamespace(targets={"cpu": SimpleNamespace(files={"decode": path})})


@pytest.mark.parametrize(
    "candidate, count",
    [
        (Candidate("decode", ("Conv",)), LONG),
        (Candidate("decode", ("Conv",), 2), LONG - 4),
        (Candidate("decode", ("MatMul",)), 1),
    ],
)
def test_only_the_operators_asked_for_are_quantized_and_the_ends_are_spared(chain, tmp_path, candidate, count):
    feeds = [{"latent": np.random.default_rng(n).standard_normal((1, 4, 5, 5)).astype(np.float32)} for n in range(2)]
    nodes = onnx.load(str(quantized(chain, candidate, feeds, tmp_path))).graph.node
    dequantized = {name for node in nodes if node.op_type == "DequantizeLinear" for name in node.output}
    small = [node.name for node in nodes if node.op_type in KINDS and all(i in dequantized for i in node.input[:2])]
    assert len(small) == count
    assert not {"Conv_0", f"Conv_{LONG - 1}"} & set(small) or not candidate.ends


@pytest.mark.parametrize(
    "psnr, agreement, verdict",
    [
        ([45.0, 60.0], [0.995, 1.0], True),
        ([44.9, 60.0], [1.0, 1.0], False),
        ([50.0], [0.994], False),
        ([50.0], [], True),
    ],
)
def test_the_worst_picture_decides_by_the_limits_of_export(psnr, agreement, verdict):
    assert passes({"psnr_db": psnr, "mask_agreement": agreement}) is verdict


def test_candidates_say_what_they_are():
    assert len({str(candidate) for candidate in CANDIDATES}) == len(CANDIDATES)
    assert str(Candidate("decode", ("Conv",), 2)) == "decode: Conv, but 2 convolutions at either end"
