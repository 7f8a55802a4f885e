"""The declarations of the graphs, and their check at the runtime's boundary."""

import json
from pathlib import Path

import numpy as np
import pytest

from wetgen.runtime.bundle.graphs import Sizes, decode_graph, denoise_graph, encode_graph, graphs_of, judge_graph
from wetgen.runtime.errors import WetgenError

GOLDEN = Path(__file__).parents[2] / "golden" / "graphs.json"
PAIRS = Sizes(64, 96, 4, 8, 12, 16, 32, classes=3, conditioning_channels=8)
IMAGES = Sizes(64, 96, 4, 8, 12, 16, 32, classes=0, conditioning_channels=0)


def feed(graph, batch):
    return {tensor.name: np.zeros(tensor.sizes(batch), tensor.dtype) for tensor in graph.inputs}


def test_the_embedding_has_both_halves():
    shapes = {tensor.name: tensor.sizes(5) for tensor in denoise_graph(PAIRS).inputs}
    assert shapes == {
        "latent": (5, 4, 8, 12),
        "embedding": (10, 16, 32),
        "conditioning": (5, 8, 8, 12),
        "step": (1,),
        "guidance": (5,),
    }


def test_without_classes_there_is_no_mask_and_without_channels_no_conditioning():
    assert [tensor.name for tensor in decode_graph(IMAGES).outputs] == ["image"]
    assert [tensor.name for tensor in encode_graph(IMAGES).inputs] == ["image"]
    assert "conditioning" not in [tensor.name for tensor in denoise_graph(IMAGES).inputs]


def test_the_judge_is_no_graph_that_every_bundle_has():
    assert list(graphs_of(PAIRS)) == ["text", "denoise", "decode", "encode"]
    assert graphs_of(PAIRS, judge=True)["judge"] == judge_graph(PAIRS)


@pytest.mark.parametrize("sizes", [PAIRS, IMAGES])
@pytest.mark.parametrize("name", ["text", "denoise", "decode", "encode", "judge"])
def test_what_is_declared_passes_and_anything_else_does_not(sizes, name):
    graph = graphs_of(sizes, judge=True)[name]
    graph.check(feed(graph, 3), 3)
    with pytest.raises(WetgenError, match="has shape"):
        graph.check(feed(graph, 3), 2)
    for tensor in graph.inputs:
        given = feed(graph, 3)
        with pytest.raises(WetgenError, match=f"'{tensor.name}' has shape .* and dtype float64"):
            graph.check({**given, tensor.name: given[tensor.name].astype(np.float64)}, 3)
        del given[tensor.name]
        with pytest.raises(WetgenError, match=f"Graph '{name}' was given"):
            graph.check(given, 3)
    with pytest.raises(WetgenError, match="it takes"):
        graph.check({**feed(graph, 3), "more": np.zeros(1)}, 3)


def test_golden_declarations(request):
    got = json.loads(json.dumps({name: graph.to_json() for name, graph in graphs_of(PAIRS, judge=True).items()}))
    if request.config.getoption("--update-golden"):
        GOLDEN.write_text(json.dumps(got, indent=1) + "\n")
    assert got == json.loads(GOLDEN.read_text())
