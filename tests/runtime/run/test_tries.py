"""Which try of which pair comes next."""

from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from wetgen.runtime.run.tasks import RetryQueue


def test_a_rejected_pair_comes_again_before_new_ones():
    queue = RetryQueue(((i, 0) for i in range(5)), 2)
    assert list(islice(queue, 3)) == [(0, 0), (1, 0), (2, 0)]
    assert not queue.reject(1, 0)
    assert list(islice(queue, 3)) == [(1, 1), (3, 0), (4, 0)]
    assert queue.reject(1, 1)
    assert not queue.reject(4, 0)
    assert list(islice(queue, 3)) == [(4, 1)]
    assert list(islice(queue, 3)) == []


def test_a_rejection_of_the_last_batch_is_drawn_again_after_nothing_was_left():
    queue = RetryQueue([(0, 0)], 3)
    list(islice(queue, 4))
    assert list(islice(queue, 4)) == []
    queue.reject(0, 0)
    assert list(islice(queue, 4)) == [(0, 1)]


@given(st.lists(st.integers(0, 5), max_size=20), st.integers(1, 4), st.integers(1, 5))
def test_every_pair_is_drawn_until_it_is_kept_or_given_up(bad, most, batch):
    """`bad` is how many of each pair's tries come to nothing; whatever the batch, the same tries are drawn."""
    queue, drawn, kept, given_up = RetryQueue(((i, 0) for i in range(len(bad))), most), [], set(), set()
    while wanted := list(islice(queue, batch)):
        assert len(wanted) <= batch
        drawn += wanted
        for index, attempt in wanted:
            if attempt >= bad[index]:
                kept.add(index)
            elif queue.reject(index, attempt):
                given_up.add(index)
    assert sorted(drawn) == [(i, t) for i, n in enumerate(bad) for t in range(min(n + 1, most))]
    assert kept == {i for i, n in enumerate(bad) if n < most} and given_up == set(range(len(bad))) - kept
