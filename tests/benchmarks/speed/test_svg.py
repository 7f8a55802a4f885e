"""Drawings: sound XML without anything from outside, the same bytes every time, and figures in their titles."""

from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from wetgen.benchmarks.speed import svg

SVG = "{http://www.w3.org/2000/svg}"
AMOUNTS = st.floats(1e-6, 1e9)


@given(st.lists(st.tuples(st.text(max_size=9), st.dictionaries(st.sampled_from("abcd"), AMOUNTS)), max_size=4))
def test_bars_are_drawings_whose_parts_lie_side_by_side(bars) -> None:
    printable = [(label.encode("ascii", "ignore").decode().translate(CONTROL), parts) for label, parts in bars]
    drawn = svg.stacked(printable, "ms")
    assert drawn == svg.stacked(printable, "ms")
    boxes = [box for box in ElementTree.fromstring(drawn).iter(f"{SVG}rect") if box.find(f"{SVG}title") is not None]
    assert len(boxes) == sum(len(parts) for _, parts in bars)
    assert all(float(box.get("x")) + float(box.get("width")) <= 720 for box in boxes)


CONTROL = dict.fromkeys(range(32))


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e6)), min_size=1, max_size=5))
def test_points_of_a_line_lie_within_its_axes(points) -> None:
    drawn = ElementTree.fromstring(
        svg.lines({"one": points, "two": points}, "batch", "pairs/s", (points[0][0], "knee"))
    )
    for circle in drawn.iter(f"{SVG}circle"):
        assert 63 <= float(circle.get("cx")) <= 701 and 33 <= float(circle.get("cy")) <= 355


def test_labels_are_text_and_nothing_is_fetched() -> None:
    drawn = svg.stacked([("<b> & co", {"a<b": 1.0})], "ms").decode()
    assert "&lt;b&gt; &amp; co" in drawn and "href" not in drawn and "url(" not in drawn
