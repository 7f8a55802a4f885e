"""Quotas by class: the text, the mix, and which lines serve."""

from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.prompts.quota import Quota, RoundRobin, parse_quota, seats
from wetgen.runtime.prompts.read import read_prompt_file

WORDS = {"crack": ("crack", "cracks"), "stain": ("stain", "stains"), "mold": ("mold", "mould")}
QUOTAS = st.lists(st.integers(1, 40), min_size=1, max_size=6)


@pytest.fixture
def read(tmp_path):
    def read(text, **quota):
        file = tmp_path / "p.txt"
        file.write_text(text)
        return read_prompt_file(str(file), WORDS, quota=quota)

    return read


def test_a_quota_is_classes_and_numbers_in_their_order():
    assert list(parse_quota("mold=200,stain=300").items()) == [("mold", 200), ("stain", 300)]
    assert parse_quota(" mold = 1 , wet spot=2") == {"mold": 1, "wet spot": 2}


@pytest.mark.parametrize(
    "text, why",
    [
        ("", "a part is empty"),
        ("mold=2,", "a part is empty"),
        ("mold", "'mold' is no class with a whole number"),
        ("mold=", "'mold=' is no class"),
        ("=2", "'=2' is no class"),
        ("mold=2.5", "'mold=2.5' is no class"),
        ("mold=-2", "no class with a whole number"),
        ("mold=1_0", "no class with a whole number"),
        ("mold=٣", "no class with a whole number"),
        ("mold=2=3", "no class with a whole number"),
        ("mold=2;stain=3", "no class with a whole number"),
        ("mold=0", "0 pairs of mold are not 1 to"),
        ("mold=10000001", "not 1 to 10000000"),
        ("mold=1,mold=2", "'mold' stands there twice"),
    ],
)
def test_anything_else_is_no_quota(text, why):
    with pytest.raises(WetgenError, match=why) as caught:
        parse_quota(text)
    assert caught.value.what == f"'{text}' is no quota." and "--quota mold=200,stain=300" in caught.value.fix


def sainte_lague(quotas):
    """The order of seats as the method is defined: every pair at its due time, ties by the order given."""
    due = [(Fraction(2 * k + 1, 2 * quota), which) for which, quota in enumerate(quotas) for k in range(quota)]
    return [which for _, which in sorted(due)]


@given(QUOTAS)
def test_the_mix_is_that_of_sainte_lague(quotas):
    order = sainte_lague(quotas)
    for index in range(len(order) + 1):
        assert seats(index, quotas) == [order[:index].count(which) for which in range(len(quotas))]
    weights = {str(which): {0: 1} for which in range(len(quotas))}
    mixed = Quota({str(which): quota for which, quota in enumerate(quotas)}, weights)
    assert [int(mixed.turn(index).asked) for index in range(sum(quotas))] == order


@given(st.lists(st.integers(1, 10**6), min_size=2, max_size=3), st.floats(0, 1))
def test_any_first_part_of_up_to_three_classes_has_them_in_proportion(quotas, part):
    """Webster's apportionment stays within one seat of the exact share for up to three (Balinski and Young 1982)."""
    index = int(part * sum(quotas))
    for drawn, quota in zip(seats(index, quotas), quotas, strict=True):
        assert abs(drawn - Fraction(index * quota, sum(quotas))) < 1


def test_a_quota_of_two_and_three():
    mixed = Quota({"mold": 2, "stain": 3}, {"mold": {0: 1}, "stain": {1: 1}})
    assert [turn.asked[0] for turn in map(mixed.turn, range(5))] == ["s", "m", "s", "m", "s"]


WEIGHTS = st.dictionaries(st.integers(0, 30), st.integers(1, 6), min_size=1, max_size=6).map(
    lambda weights: dict(sorted(weights.items()))
)


@given(WEIGHTS)
def test_a_round_robin_weighs_its_lines_and_counts_their_turns(weights):
    robin, cycle = RoundRobin(weights), sum(weights.values())
    turns = [robin.line(step) for step in range(3 * cycle)]
    assert Counter(turns[:cycle]) == weights and turns == 3 * turns[:cycle]
    assert turns[: len(weights)] == list(weights)  # everyone once before anyone twice
    for step in range(3 * cycle + 1):
        for i in range(-1, 32):
            assert robin.before(step, i) == turns[:step].count(i)


def test_heavy_lines_do_not_keep_the_others_out_of_a_small_quota(read):
    asks = read("mold --count 100\nblack mold --count 99\n", mold=4)
    assert [ask.line for ask in asks] == [1, 2, 1, 2]


LINES = """a wall --class mold|stain
a floor with {class}
a stain on a ceiling
a stain and mold
a clean wall
a {crack|cracks}
a {crack|stain} --severity 0.5
a ceiling --class crack
"""


@pytest.mark.parametrize("asked, lines", [("mold", [1, 2]), ("stain", [1, 2, 3]), ("crack", [2, 6, 8])])
def test_which_lines_serve_a_class(read, asked, lines):
    asks = read(LINES, **{asked: 6})
    assert [ask.line for ask in asks[: len(lines)]] == lines
    assert {ask.asked for ask in asks} == {asked} and {ask.line for ask in asks} == set(lines)


def test_a_line_numbers_its_pairs_over_all_classes(read):
    asks = read(LINES, mold=40, stain=60, crack=50)
    assert Counter(ask.asked for ask in asks) == {"mold": 40, "stain": 60, "crack": 50}
    for line in range(1, 9):
        numbers = [ask.number for ask in asks if ask.line == line]
        assert numbers == list(range(len(numbers)))
    assert not [ask for ask in asks if ask.line in (4, 5, 7)]


def test_each_class_walks_over_all_combinations_of_a_line(read):
    asks = read("a {red|blue} {wall|floor|roof} with {class}\n", mold=12, stain=18)
    for asked, times in (("mold", 2), ("stain", 3)):
        texts = [ask.text for ask in asks if ask.asked == asked]
        assert set(Counter(texts).values()) == {times} and len(set(texts)) == 6
        assert len(set(texts[:6])) == 6
        assert all(text.endswith(f"with {asked}") for text in texts)


def test_shares_are_what_is_drawn(read):
    asks = read(LINES, mold=7, stain=5, crack=9)
    shares = {(share.i + 1, share.asked): share.pairs for share in asks.shares()}
    assert shares == Counter((ask.line, ask.asked) for ask in asks)


@pytest.mark.parametrize(
    "text, quota, what",
    [
        ("a clean wall\n", {"mold": 1}, "No line of .* can draw the quota's class 'mold'"),
        ("mold and a stain\n", {"mold": 1}, "can draw the quota's class 'mold'"),
        ("a {mold|stain}\n", {"stain": 1}, "can draw the quota's class 'stain'"),
        ("mold\n" + "mold {0|1}" + "{0|1}" * 12 + "\n", {"stain": 1}, "class 'stain'"),
        ("mold\n", {"molt": 1}, "no class of the bundle: 'molt'"),
        ("mold\n", {}, "The quota is empty"),
        ("mold\n", {"mold": 0}, "The quota of mold is 0"),
    ],
)
def test_quotas_that_cannot_be_met(read, text, quota, what):
    with pytest.raises(WetgenError, match=what) as caught:
        read(text, **quota)
    if "molt" in quota:
        assert caught.value.fix == "did you mean 'mold'?"


def test_a_text_of_too_many_combinations_serves_by_its_option_only(read):
    many = "mold {0|1}" + "{0|1}" * 12  # 8192
    with pytest.raises(WetgenError, match="can draw the quota's class 'mold'"):
        read(many, mold=1)
    assert read(f"{many} --class mold", mold=1)[0].asked == "mold"


def test_count_and_quota_exclude_each_other(tmp_path):
    (tmp_path / "p.txt").write_text("mold")
    with pytest.raises(WetgenError, match="--count and --quota exclude each other"):
        read_prompt_file(str(tmp_path / "p.txt"), WORDS, count=2, quota={"mold": 1})
