"""A batch in parts: every pair goes through exactly one of them and comes out at its place, whoever computed it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wetgen.runtime.bundle.graphs import Graph, Tensor
from wetgen.runtime.engines.ort import merge_batch, open_engine, part_size, split_batch

GRAPH = Graph(
    "pairs",
    (Tensor("latent", ("B", 2)), Tensor("embedding", ("2B", 3)), Tensor("step", (1,), "int32")),
    (Tensor("latent_after", ("B", 2)), Tensor("deep_features", ("2B", 3))),
)


@pytest.mark.parametrize(
    "batch, threads, size",
    [(4, 1, 4), (1, 2, 1), (2, 2, 1), (4, 2, 2), (5, 2, 3), (8, 3, 3), (3, 4, 3), (4, 4, 1), (9, 8, 2)],
)
def test_a_core_takes_its_share_where_there_is_a_pair_for_each(batch: int, threads: int, size: int):
    assert part_size(batch, threads) == size


@given(st.integers(1, 9), st.integers(1, 9))
def test_pairs_keep_their_place_and_their_halves(batch: int, size: int):
    latent = np.arange(2 * batch, dtype=np.float32).reshape(batch, 2)
    embedding = np.arange(6 * batch, dtype=np.float32).reshape(2 * batch, 3)
    step = np.array([7], np.int32)
    parts = split_batch(GRAPH, {"latent": latent, "embedding": embedding, "step": step}, batch, size)
    made = []
    for part in parts:
        for tensor in GRAPH.inputs:
            tensor.check(part[tensor.name], size)
        pairs = {tuple(row) for row in latent}
        places = [int(row[0]) // 2 for row in part["latent"]]
        assert {tuple(row) for row in part["latent"]} <= pairs
        np.testing.assert_array_equal(part["embedding"][:size], embedding[places])
        np.testing.assert_array_equal(part["embedding"][size:], embedding[[batch + place for place in places]])
        assert part["step"] is step
        made.append({"latent_after": part["latent"], "deep_features": part["embedding"]})
    whole = merge_batch(GRAPH, made, batch)
    np.testing.assert_array_equal(whole["latent_after"], latent)
    np.testing.assert_array_equal(whole["deep_features"], embedding)


@pytest.mark.parametrize("name", ["denoise", "decode"])
def test_a_pairs_bytes_do_not_depend_on_batch_threads_or_place(bundle, name: str):
    graph, path = bundle.graphs[name], bundle.targets["cpu"].files[name]
    rng = np.random.default_rng(0)
    pairs = [{t.name: rng.standard_normal(t.sizes(1)).astype(np.float32) for t in graph.inputs} for _ in range(5)]
    for pair in pairs:
        pair.update({"step": np.array([1], np.int32)} if name == "denoise" else {})
    alone = open_engine(graph, path, device="cpu", batch=1, threads=1)
    expected = [alone.run(pair) for pair in pairs]
    for batch, threads in ((2, 2), (3, 2), (4, 1), (5, 2), (5, 3)):
        engine = open_engine(graph, path, device="cpu", batch=batch, threads=threads)
        order = rng.permutation(5)[:batch]
        feed = {t.name: _batch(t, [pairs[place][t.name] for place in order]) for t in graph.inputs}
        found = engine.run(feed)
        for tensor in graph.outputs:
            tensor.check(found[tensor.name], batch)
            for row, place in enumerate(order):
                np.testing.assert_array_equal(found[tensor.name][row], expected[place][tensor.name][0])


def _batch(tensor: Tensor, arrays: list) -> np.ndarray:
    if tensor.shape[0] == "2B":
        return np.concatenate([*(a[:1] for a in arrays), *(a[1:] for a in arrays)])
    return np.concatenate(arrays) if tensor.shape[0] == "B" else arrays[0]


def test_a_part_that_fails_is_an_error(bundle, monkeypatch):
    graph, path = bundle.graphs["decode"], bundle.targets["cpu"].files["decode"]
    engine = open_engine(graph, path, device="cpu", batch=2, threads=2)
    monkeypatch.setattr(engine, "_session", None)
    with pytest.raises(AttributeError):
        engine.run({t.name: np.zeros(t.sizes(2), t.dtype) for t in graph.inputs})


@pytest.mark.parametrize("batch, threads, expected", [(4, 2, 1), (1, 2, 2), (4, 1, 1)])
def test_a_part_runs_on_one_core_and_a_whole_batch_on_all(bundle, batch: int, threads: int, expected: int):
    graph, path = bundle.graphs["decode"], bundle.targets["cpu"].files["decode"]
    engine = open_engine(graph, path, device="cpu", batch=batch, threads=threads)
    assert engine._session.get_session_options().intra_op_num_threads == expected
