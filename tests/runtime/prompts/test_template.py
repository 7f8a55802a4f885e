"""Templates: what they expand to, how many there are, and the order in which a line goes through them."""

import itertools
import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wetgen.runtime.prompts.lines import PromptLine
from wetgen.runtime.prompts.text import MOST_DEEP, BadText, parse_template, permuted

FILL = {"class": "mold", "severity": "severe large"}


def expansions(text: str) -> list[str]:
    template = parse_template(text)
    return [template.expand(index, FILL)[0] for index in range(template.count)]


@pytest.mark.parametrize(
    "text, expected",
    [
        ("a wall", ["a wall"]),
        ("a  wall | b", ["a  wall | b"]),  # no braces: as it stands
        ("a {white|cream} wall", ["a white wall", "a cream wall"]),
        ("{a|b}{1|2}", ["a1", "b1", "a2", "b2"]),
        ("a {|brown |dark} stain", ["a stain", "a brown stain", "a dark stain"]),
        ("{a|{b|c}}", ["a", "b", "c"]),
        ("{a {b|c}|{d|e}{f|g}}", ["a b", "a c", "df", "ef", "dg", "eg"]),
        ("{ {a|b}|c}", ["a", "b", "c"]),
        ("{x|{{a|b}|c}}", ["x", "a", "b", "c"]),
        ("{severity} {class} on { class }", ["severe large mold on mold"]),
        ("a {{wet}}  wall", ["a {wet} wall"]),
        ("{{{a|b}}}", ["{a}", "{b}"]),
        ("a{{|}}b", ["a{|}b"]),
        ("{a|a}", ["a", "a"]),
    ],
)
def test_what_a_template_expands_to(text, expected):
    assert expansions(text) == expected


@pytest.mark.parametrize(
    "text, offset, words",
    [
        ("a {b", 2, "never closed"),
        ("a {b|{c|d}", 2, "never closed"),
        ("a {b|{c", 5, "never closed"),
        ("a } b", 2, "closes nothing"),
        ("{{a|b}|c}", 5, "closes nothing"),
        ("{a|b}}", 5, "closes nothing"),
        ("a {clas} b", 2, "no placeholder {clas}"),
        ("a {white} b", 2, "no placeholder {white}"),
        ("a {x {b|c}} d", 2, "no placeholder"),
        ("a { } b", 2, "are empty"),
        ("{a|" * MOST_DEEP + "{b|c}" + "}" * MOST_DEEP, 3 * MOST_DEEP, "nested more than 20 deep"),
    ],
)
def test_what_is_no_template(text, offset, words):
    with pytest.raises(BadText, match=words) as caught:
        parse_template(text)
    assert caught.value.offset == offset


def test_a_hundred_thousand_braces_are_an_error_and_no_overflow():
    with pytest.raises(BadText, match="nested"):
        parse_template("x" + "{a|" * 10**5)


def test_the_nearest_placeholder_is_suggested():
    with pytest.raises(BadText) as caught:
        parse_template("{severty}")
    assert caught.value.fix == "did you mean 'severity'?"


@pytest.mark.parametrize(
    "text, placeholders, certain, blank",
    [
        ("a", [], [], False),
        ("{class} {severity}", ["class", "severity"], ["class", "severity"], False),
        ("{a|{class}}", ["class"], [], False),
        ("{b {class}|{class}}", ["class"], ["class"], False),
        ("{b|{class}} {class}", ["class"], ["class"], False),
        ("{|a}", [], [], True),
        ("{|a} {b|{ |c}}", [], [], True),
        ("{|a}b", [], [], False),
    ],
)
def test_what_is_known_of_a_template_without_expanding_it(text, placeholders, certain, blank):
    template = parse_template(text)
    assert (template.placeholders, template.certain) == (frozenset(placeholders), frozenset(certain))
    assert template.may_be_blank == blank


# A tree is a list of parts; a part is text or a tuple of at least two alternatives, each a tree.
TREES = st.recursive(
    st.lists(st.text("ab ", min_size=1, max_size=2), max_size=2),
    lambda tree: st.lists(
        st.one_of(st.text("ab ", min_size=1, max_size=2), st.lists(tree, min_size=2, max_size=3).map(tuple)),
        max_size=3,
    ),
    max_leaves=10,
)


def written(tree, depth=0) -> str:
    """The tree in the grammar. Outside braces {{ would be a literal brace, so a blank keeps two apart."""
    text = ""
    for part in tree:
        if isinstance(part, str):
            text += part
        else:
            inside = "|".join(written(alternative, depth + 1) for alternative in part)
            text += "{" + (" " if depth == 0 and inside.startswith("{") else "") + inside + "}"
    return text


def listed(tree, depth=0) -> list[str]:
    """All expansions, by listing them."""
    choices = []
    for part in tree:
        if isinstance(part, str):
            choices.append([part])
        else:
            space = " " if depth == 0 and written(part[0], depth + 1).startswith("{") else ""
            each = [[space + text for text in listed(part[0], depth + 1)]]
            each += [listed(alternative, depth + 1) for alternative in part[1:]]
            choices.append([text for alternative in each for text in alternative])
    return ["".join(parts) for parts in itertools.product(*choices)]


@given(TREES)
def test_the_first_pairs_of_a_line_are_all_combinations_once_each(tree):
    line = PromptLine(1, f"x{written(tree)}y")
    expected = [f"x{text}y" for text in listed(tree)]
    if "{" in line.text:
        expected = [" ".join(text.split()) for text in expected]
    asks = [line.request(number, number, None, {}) for number in range(2 * len(expected))]
    assert line.combinations() == len(expected)
    assert Counter(ask.text for ask in asks[: len(expected)]) == Counter(expected)
    assert [ask.text for ask in asks[len(expected) :]] == [ask.text for ask in asks[: len(expected)]]


@given(st.integers(1, 300), st.text(max_size=5), st.integers(0, 1000))
def test_the_order_is_a_permutation_from_any_step_on(count, text, start):
    assert sorted(permuted(step, count, text) for step in range(start, start + count)) == list(range(count))


@given(st.integers(5, 10**40), st.text(max_size=3))
def test_the_order_strides_by_the_golden_ratio(count, text):
    """Hurwitz: no ratio keeps successive fractions further apart. Small counts have few coprime strides to choose."""
    stride = (permuted(1, count, text) - permuted(0, count, text)) % count
    assert math.gcd(stride, count) == 1
    golden = count * 618033988749894848204586834365638 // 10**33
    # Numbers below 10^40 have at most 26 different prime factors; of 264 successive numbers one is coprime to all of
    # them (Jacobsthal's function, OEIS A048670), so one lies within 132 on either side.
    assert abs(stride - golden) <= 132


def test_every_alternative_comes_up_early():
    line = PromptLine(1, "{a|b|c|d} {1|2|3|4|5} {x|y|z}")
    assert line.combinations() == 60
    texts = [line.request(n, n, None, {}).text.split() for n in range(15)]
    for place, size in enumerate((4, 5, 3)):
        assert len({text[place] for text in texts}) == size


def test_classes_take_turns():
    line = PromptLine(1, "{a|b|c} {class}", classes=("mold", "stain"))
    words = {"mold": ["mold"], "stain": ["stain"]}
    asked = [line.request(n, n, None, words).asked for n in range(12)]
    assert asked in (["mold", "stain"] * 6, ["stain", "mold"] * 6)


def test_the_order_of_combinations_never_changes():
    """A run that is resumed with a later wetgen must go on with the same pairs.

    By hand: 5 is the number nearest to 6 / 1.618 that shares no divisor with 6, and the text's sha256 is 2 modulo 6, so
    the combinations are 2, 1, 0, 5, 4, 3; the colour is the lower digit.
    """
    line = PromptLine(1, "a {white|cream} {wall|ceiling|floor}")
    assert [line.request(n, n, None, {}).text for n in range(6)] == [
        "a white ceiling",
        "a cream wall",
        "a white wall",
        "a cream floor",
        "a white floor",
        "a cream ceiling",
    ]


def test_a_number_of_combinations_beyond_memory_is_no_trouble():
    line = PromptLine(1, "{a|b|c|d|e|f|g|h|i|j}" * 12)
    assert line.combinations() == 10**12
    texts = {line.request(n, n, None, {}).text for n in range(1000)}
    assert len(texts) == 1000 and line.request(0, 10**12 + 3, None, {}) == line.request(0, 3, None, {})
    assert PromptLine(1, "{a|b}" * 900).combinations() == 2**900
