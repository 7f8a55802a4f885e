"""A batch cut into equal parts that run beside each other, one core each.

All cores on every node wait for one another at the end of each of them, hundreds of times a step. On pairs of their own
they never do, and what a pair comes out as cannot depend on how many there are: it is computed on one core.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.graphs import Array, Graph, Tensor


def part_size(batch: int, threads: int) -> int:
    """How many pairs of a batch one core takes: all, on all cores together, where there is not one for each."""
    return -(-batch // threads) if 1 < threads <= batch else batch


def cut(graph: Graph, feed: Mapping[str, Array], batch: int, size: int) -> list[dict[str, Array]]:
    """The feeds of all parts of `size` pairs; the last may repeat the last pair to be full."""
    return [
        {tensor.name: _rows(tensor, feed[tensor.name], batch, start, size) for tensor in graph.inputs}
        for start in range(0, batch, size)
    ]


def _rows(tensor: Tensor, array: Array, batch: int, start: int, size: int) -> Array:
    if not isinstance(tensor.shape[0], str):
        return array  # of the whole batch, like the number of the step
    places: NDArray[np.intp] = np.minimum(np.arange(start, start + size), batch - 1)
    return array[places if tensor.shape[0] == "B" else np.concatenate([places, batch + places])]


def joined(graph: Graph, parts: Sequence[Mapping[str, Array]], batch: int) -> dict[str, Array]:
    """The batch's outputs, from those of its parts in order."""
    return {tensor.name: _together(tensor, [part[tensor.name] for part in parts], batch) for tensor in graph.outputs}


def _together(tensor: Tensor, arrays: Sequence[Array], batch: int) -> Array:
    if tensor.shape[0] == "B":
        return np.concatenate(arrays)[:batch]
    halves = [array.reshape(2, -1, *array.shape[1:]) for array in arrays]  # of uncond and cond
    return np.concatenate(halves, axis=1)[:, :batch].reshape(2 * batch, *arrays[0].shape[1:])
