"""Model inputs that a test hands out batch by batch."""

from collections.abc import Iterator, Sequence

from wetgen.runtime.sampling.sampler import SampleInputs, SamplingParams


def params(guidance: float = 3.0, negative: str = "") -> SamplingParams:
    """Parameters of a pair; samplers get their plan apart."""
    return SamplingParams("four", guidance, negative)


class Batches(Iterator[SampleInputs]):
    """The inputs of each batch; runs out after one that has fewer than `size`, and when none are left.

    `asked` holds for each batch, and for each time there was none, how many pairs `seen` held when it was taken.
    """

    def __init__(self, size: int, batches: Sequence[Sequence[SampleInputs]], seen: Sequence[object] = ()) -> None:
        ends = [[None] if len(batch) < size else [] for batch in batches]
        self._items = iter([item for batch, end in zip(batches, ends, strict=True) for item in (*batch, *end)])
        self._seen, self.asked = seen, list[int]()
        self._size, self._given = size, 0

    def __next__(self) -> SampleInputs:
        if self._given % self._size == 0:
            self.asked.append(len(self._seen))
        item = next(self._items, None)
        if item is None:
            self._given = 0
            raise StopIteration
        self._given += 1
        return item
