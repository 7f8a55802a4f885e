"""Names held in few bytes: the same answers as Python's set."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wetgen.runtime.files import NameSet, is_index, pair_name

NAMES = st.one_of(
    st.integers(0, 3000).map(pair_name),
    st.integers(0, 10**12).map(pair_name),
    st.integers(0, 3000).map(str),
    st.text(st.sampled_from("0123456789a²٣-"), max_size=8),
)


@given(added=st.lists(NAMES, unique=True), asked=st.lists(NAMES))
def test_it_answers_as_a_set_does(added, asked):
    names, expected = NameSet(), set(added)
    for name in added:
        names.add(name)
    assert len(names) == len(expected)
    assert [name in names for name in [*asked, *added]] == [name in expected for name in [*asked, *added]]


def test_a_name_is_added_once():
    names = NameSet()
    names.add("000001")
    with pytest.raises(AssertionError):
        names.add("000001")


@given(st.integers(0, 10**9))
def test_pair_names_are_indexes(index):
    assert is_index(pair_name(index)) and int(pair_name(index)) == index
    assert not is_index(f"0{pair_name(index)}")


def test_a_hundred_thousand_pairs_take_a_bit_each():
    tracemalloc.start()
    names = NameSet()
    for index in range(100_000):
        names.add(pair_name(index))
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(names) == 100_000 and held < 20_000  # 12,500 bytes of bits


def test_a_huge_number_takes_its_text_and_not_a_bit_for_each_below():
    names = NameSet()
    for name in ("999999999999", "4294967296", "134217728"):
        names.add(name)
        assert name in names
    assert len(names._numbers) == 0
