"""Boxes and files of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.layouts.boxes import BoxDamage, boxes_of, read_boxes
from wetgen.runtime.masks.classes import ClassTable
from wetgen.runtime.masks.regions import Box

TABLE = ClassTable(("background", "crack", "stain"))
SIZE = (100, 200)  # (H, W)

boxes = st.builds(Box, st.integers(-20, 40), st.integers(-20, 40), st.integers(1, 40), st.integers(1, 40))


def pixels(box: Box) -> set[tuple[int, int]]:
    return {(y, x) for y in range(box.top, box.bottom) for x in range(box.left, box.right)}


@given(boxes, boxes)
def test_overlaps_are_those_of_sets_of_pixels(one, other):
    both, either = pixels(one) & pixels(other), pixels(one) | pixels(other)
    assert one.overlap(other) == len(both)
    assert one.iou(other) == other.iou(one) == pytest.approx(len(both) / len(either))


@given(boxes)
def test_clipping_keeps_the_pixels_inside_the_picture(box):
    clipped = box.clip((30, 50))
    assert pixels(clipped) == {(y, x) for y, x in pixels(box) if 0 <= y < 30 and 0 <= x < 50}
    assert clipped.area == len(pixels(clipped))
    assert box.inside((30, 50)) == (clipped == box)


@given(boxes, st.integers(0, 5))
def test_growing_and_shrinking_undo_each_other(box, margin):
    assert box.grown(margin).grown(-margin) == box
    assert box.grown(margin).area == (box.width + 2 * margin) * (box.height + 2 * margin)


def read(tmp_path, text: str):
    (tmp_path / "b.csv").write_text(text, encoding="utf-8")
    return read_boxes(tmp_path / "b.csv", TABLE)


def test_pixels_and_percent_of_width_and_height_are_read(tmp_path):
    rows = read(
        tmp_path, "class,x,y,width,height,severity,prompt\nstain,10%,10%,25 %,50%,0.5,a stain\ncrack,3,4,5,6,,\n"
    )
    assert boxes_of(rows, None, SIZE) == [
        BoxDamage("stain", Box(20, 10, 50, 50), 0.5, "a stain"),
        BoxDamage("crack", Box(3, 4, 5, 6)),
    ]


def test_rows_hold_for_their_picture_and_without_a_name_for_every_one(tmp_path):
    rows = read(tmp_path, "file_name;class;x;y;width;height\na.png;stain;0;0;9;9\nb.png;crack;1;1;9;9\n")
    assert [d.class_name for d in boxes_of(rows, "b.png", SIZE)] == ["crack"]
    assert boxes_of(rows, None, SIZE) == []
    every = read(tmp_path, "class,x,y,width,height\nstain,0,0,9,9\n")
    assert len(boxes_of(every, "b.png", SIZE)) == len(boxes_of(every, None, SIZE)) == 1


def test_a_box_may_fill_the_picture(tmp_path):
    rows = read(tmp_path, "class,x,y,width,height\nstain,0%,0%,100%,100%\nstain,33.3%,0,66.7%,100\n")
    first, second = boxes_of(rows, None, SIZE)
    assert first.box == Box(0, 0, 200, 100) and second.box == Box(67, 0, 133, 100)


HEADER = "class,x,y,width,height,severity\n"


@pytest.mark.parametrize(
    ("row", "what", "said"),
    [
        ("stian,1,1,5,5,", "line 2: class is 'stian'", "did you mean 'stain'?"),
        ("background,1,1,5,5,", "line 2: class is 'background'", "known are crack, stain"),
        ("stain,-1,1,5,5,", "line 2: x is -1", "the picture starts at 0"),
        ("stain,1,-2%,5,5,", "line 2: y is -2%", "the picture starts at 0"),
        ("stain,1,1,0,5,", "line 2: width is 0", "a box needs a size"),
        ("stain,1,1,5,0%,", "line 2: height is 0%", "a box needs a size"),
        ("stain,1,1,nan,5,", "line 2: width is 'nan'", "no number"),
        ("stain,1,1,5,120%,", "line 2: height is 120%", "a picture ends at 100"),
        ("stain,1,1,5,5,1.5", "line 2: severity is 1.5", "between 0 and 1"),
        ("stain,,1,5,5,", "line 2: x is empty", "fill it in"),
    ],
)
def test_what_is_wrong_whatever_the_picture_is_said_when_it_is_read(tmp_path, row, what, said):
    with pytest.raises(WetgenError) as caught:
        read(tmp_path, HEADER + row)
    assert what in caught.value.what and said in f"{caught.value.why} {caught.value.fix}", str(caught.value)


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ("stain,150,1,51,5,", "line 2: width 51 reaches 201 pixels from the left"),
        ("stain,1,60%,5,50%,", "line 2: height 50% reaches 110 pixels from the top"),
        ("stain,1,1,0.2,5,", "line 2: width 0.2 covers no whole pixel"),
    ],
)
def test_a_box_that_leaves_the_picture_is_refused_with_its_size(tmp_path, row, what):
    (only,) = read(tmp_path, HEADER + row)
    with pytest.raises(WetgenError) as caught:
        only.damage(SIZE)
    assert what in caught.value.what and caught.value.why == "the picture has 200 x 100 pixels."


def test_a_header_alone_holds_no_boxes(tmp_path):
    with pytest.raises(WetgenError, match="has no boxes"):
        read(tmp_path, HEADER)
