"""Which try of which pair comes next."""

from hypothesis import given
from hypothesis import strategies as st

from wetgen.runtime.run.run import Tries


def test_a_rejected_pair_comes_again_before_new_ones():
    tries = Tries(((i, 0) for i in range(5)), 2)
    assert tries.take(3) == [(0, 0), (1, 0), (2, 0)]
    assert not tries.reject(1, 0)
    assert tries.take(3) == [(1, 1), (3, 0), (4, 0)]
    assert tries.reject(1, 1)
    assert not tries.reject(4, 0)
    assert tries.take(3) == [(4, 1)]
    assert tries.take(3) == []


def test_a_rejection_of_the_last_batch_is_drawn_again_after_nothing_was_left():
    tries = Tries([(0, 0)], 3)
    tries.take(4)
    assert tries.take(4) == []
    tries.reject(0, 0)
    assert tries.take(4) == [(0, 1)]


@given(st.lists(st.integers(0, 5), max_size=20), st.integers(1, 4), st.integers(1, 5))
def test_every_pair_is_drawn_until_it_is_kept_or_given_up(bad, most, batch):
    """`bad` is how many of each pair's tries come to nothing; whatever the batch, the same tries are drawn."""
    tries, drawn, kept, given_up = Tries(((i, 0) for i in range(len(bad))), most), [], set(), set()
    while wanted := tries.take(batch):
        assert len(wanted) <= batch
        drawn += wanted
        for index, attempt in wanted:
            if attempt >= bad[index]:
                kept.add(index)
            elif tries.reject(index, attempt):
                given_up.add(index)
    assert sorted(drawn) == [(i, t) for i, n in enumerate(bad) for t in range(min(n + 1, most))]
    assert kept == {i for i, n in enumerate(bad) if n < most} and given_up == set(range(len(bad))) - kept
