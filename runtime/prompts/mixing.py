"""The order in which a line walks through its combinations: a permutation that needs no memory."""

import math
from functools import lru_cache
from hashlib import sha256
from itertools import count as counting

_GOLDEN = 618033988749894848204586834365638, 10**33  # (sqrt(5) - 1) / 2 as a fraction, for counts beyond floats


def nth(step: int, count: int, text: str) -> int:
    """The combination, of `count`, that a line takes at its `step`-th pair: each once before any comes again.

    (a * step + b) mod count is a bijection where a and count have no common divisor. With a near count / golden ratio
    steps in a row lie far apart (Weyl's sequence of the number that is hardest to approximate), so that every
    alternative comes up early; b, from a hash of the text, lets lines of one shape begin at different combinations.
    """
    a, b = _mixing(count, text)
    return (a * step + b) % count


@lru_cache(maxsize=4096)
def _mixing(count: int, text: str) -> tuple[int, int]:
    near = (count * _GOLDEN[0] + _GOLDEN[1] // 2) // _GOLDEN[1]
    a = next(a for away in counting() for a in (near + away, near - away) if a > 0 and math.gcd(a, count) == 1)
    return a, int.from_bytes(sha256(text.encode()).digest(), "big") % count
