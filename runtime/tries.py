"""Which try of which pair is drawn next."""

from collections import deque
from collections.abc import Iterable
from itertools import islice


class Tries:
    """Hands out (index, try), each index with the try it begins with; a rejected one comes again before new ones."""

    def __init__(self, begin: Iterable[tuple[int, int]], most: int) -> None:
        """`most` is the number of tries that a pair has, so the last one is `most - 1`."""
        self._new, self._again, self._most = iter(begin), deque[tuple[int, int]](), most

    def take(self, count: int) -> list[tuple[int, int]]:
        """At most `count` tries; none when every pair is kept or given up."""
        again = [self._again.popleft() for _ in range(min(count, len(self._again)))]
        return again + list(islice(self._new, count - len(again)))

    def reject(self, index: int, attempt: int) -> bool:
        """Note that a try came to nothing; gives whether that was the pair's last."""
        last = attempt + 1 >= self._most
        if not last:
            self._again.append((index, attempt + 1))
        return last
