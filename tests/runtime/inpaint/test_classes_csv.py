"""classes.csv: every column, and each kind of mistake at its line and column."""

import numpy as np
import pytest

from wetgen.runtime.bundle.bundle import open_bundle
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.inpaint.damage import MOST, DamageClass, class_prompt, read_classes
from wetgen.runtime.masks.classes import area_for

NAMES = ("crack", "stain", "mold")
WORDS = {"crack": ("crack", "cracks"), "stain": ("water stain", "stain"), "mold": ()}


def read(tmp_path, text: str, statistics=None) -> list[DamageClass]:
    (tmp_path / "classes.csv").write_text(text, encoding="utf-8")
    return read_classes(tmp_path / "classes.csv", NAMES, WORDS, statistics or {})


def test_every_column_is_read(tmp_path):
    header = (
        "class,prompt,probability,least_count,most_count,least_size,most_size,least_aspect,most_aspect,least_severity,"
        "most_severity,overlap"
    )
    rows = read(tmp_path, f"{header}\nstain,a brown stain,0.25,2,5,0.01,0.2,0.5,3,0.1,0.9,0.3\n")
    assert rows == [
        DamageClass("stain", "a brown stain", 0.25, (2, 5), (0.01, 0.2), (0.5, 3), (0.1, 0.9), 0.3),
    ]


def test_a_class_alone_is_painted_once_in_every_picture_at_any_severity(tmp_path):
    (only,) = read(tmp_path, "class\ncrack\n")
    assert (only.prompt, only.probability, only.count) == ("crack", 1, (1, 1))
    assert only.severity == (0, 1) and only.overlap == 0
    assert only.aspect[0] < 1 < only.aspect[1]


def test_a_class_without_sizes_has_those_that_it_has_in_the_training_masks(tmp_path):
    bundle = open_bundle(None)
    (stain,) = read(tmp_path, "class\nstain\n", bundle.mask_statistics)
    areas = [area_for(bundle.mask_statistics["stain"], severity) for severity in (0.25, 0.75)]
    # Damage fills a quarter to seven tenths of its box, and no box more than half of the picture.
    for share, area in zip(stain.size, areas, strict=True):
        assert 0.25 <= area / share <= 0.7 or share == 0.5
    assert stain.size[0] < stain.size[1]


@pytest.mark.parametrize(
    ("columns", "row", "name", "value"),
    [
        ("least_size", "0.6", "size", (0.6, 0.6)),  # beyond what is usual: the other end goes along
        ("most_size", "0.0001", "size", (0.0001, 0.0001)),
        ("most_count", "7", "count", (1, 7)),
        ("least_count", "3", "count", (3, 3)),
        ("most_count", "0", "count", (0, 0)),
        ("least_severity", "0.5", "severity", (0.5, 1)),
        ("most_severity", "0.5", "severity", (0, 0.5)),
        ("least_aspect", "4", "aspect", (4, 4)),
        ("overlap", "any", "overlap", 1.0),
        ("overlap", "never", "overlap", 0.0),
        ("overlap", "", "overlap", 0.0),
        ("overlap", "0.25", "overlap", 0.25),
        ("probability", "0", "probability", 0),
    ],
)
def test_one_end_of_a_range_moves_the_other_where_it_must(tmp_path, columns, row, name, value):
    (only,) = read(tmp_path, f"class,{columns}\nstain,{row}\n")
    assert getattr(only, name) == value


def test_a_class_may_have_several_rows(tmp_path):
    rows = read(tmp_path, "class,prompt\nstain,a brown stain\nmold,\nstain,a yellow stain\n")
    assert [(row.name, row.prompt) for row in rows] == [
        ("stain", "a brown stain"),
        ("mold", "mold"),
        ("stain", "a yellow stain"),
    ]


def test_a_class_is_spoken_by_its_first_word():
    assert [class_prompt(name, WORDS) for name in NAMES] == ["crack", "water stain", "mold"]


HEADER = "class,prompt,probability,least_count,most_count,least_size,most_size,least_severity,most_severity,overlap\n"


@pytest.mark.parametrize(
    ("row", "what", "said"),
    [
        ("stian,,,,,,,,,", "line 2: class is 'stian'", "did you mean 'stain'?"),
        ("background,,,,,,,,,", "line 2: class is 'background'", "known are crack, stain, mold"),
        (",a stain,,,,,,,,", "line 2: class is empty", "fill it in"),
        ("stain,,1.2,,,,,,,", "line 2: probability is 1.2", "between 0 and 1"),
        ("stain,,often,,,,,,,", "line 2: probability is 'often'", "no number"),
        ("stain,,-0.1,,,,,,,", "line 2: probability is -0.1", "between 0 and 1"),
        ("stain,,,1.5,2,,,,,", "line 2: least_count is 1.5", "damages are counted"),
        ("stain,,,1,2.5,,,,,", "line 2: most_count is 2.5", "damages are counted"),
        ("stain,,,-1,2,,,,,", "line 2: least_count is -1", "between 0 and 50"),
        (f"stain,,,1,{MOST + 1},,,,,", "line 2: most_count is 51", "between 0 and 50"),
        ("stain,,,4,2,,,,,", "line 2: least_count is 4", "most_count is 2"),
        ("stain,,,,,0,0.1,,,", "line 2: least_size is 0", "between 1e-05 and 1"),
        ("stain,,,,,0.1,1.1,,,", "line 2: most_size is 1.1", "between 1e-05 and 1"),
        ("stain,,,,,0.3,0.1,,,", "line 2: least_size is 0.3", "exchange the two"),
        ("stain,,,,,nan,,,,", "line 2: least_size is 'nan'", "no number"),
        ("stain,,,,,,inf,,,", "line 2: most_size is 'inf'", "no number"),
        ("stain,,,,,,,0.9,0.1,", "line 2: least_severity is 0.9", "exchange the two"),
        ("stain,,,,,,,,2,", "line 2: most_severity is 2", "between 0 and 1"),
        ("stain,,,,,,,,,sometimes", "line 2: overlap is 'sometimes'", "write never, any or a number"),
        ("stain,,,,,,,,,1.5", "line 2: overlap is 1.5", "never, any, or the greatest"),
        ("stain,,,", "line 2: the row has 4 cells", "the header names 10 columns"),
    ],
)
def test_what_is_wrong_is_said_with_line_and_column(tmp_path, row, what, said):
    with pytest.raises(WetgenError) as caught:
        read(tmp_path, HEADER + row)
    assert what in caught.value.what and "line 2" in caught.value.what, caught.value.what
    assert said in f"{caught.value.why} {caught.value.fix}", str(caught.value)
    assert caught.value.why.endswith(".") and caught.value.fix.strip()


def test_a_header_alone_holds_no_classes(tmp_path):
    with pytest.raises(WetgenError, match="has no classes"):
        read(tmp_path, HEADER)


def test_damages_follow_from_the_generator_alone():
    each = DamageClass("stain", "", 0.5, (0, 3), (0.01, 0.1), (0.6, 1.7), (0.2, 0.4), 1.0)

    def severities(seed: int):
        return each.severities(np.random.default_rng(seed))

    assert severities(4) == severities(4)
    found = [severities(seed) for seed in range(400)]
    counts = np.bincount([len(each) for each in found], minlength=4) / 400
    # Half of the pictures have none, and of the others a quarter each has 0, 1, 2 or 3. Four standard deviations.
    np.testing.assert_allclose(counts, [0.625, 0.125, 0.125, 0.125], atol=4 * (0.625 * 0.375 / 400) ** 0.5)
    assert min(map(min, filter(None, found))) >= 0.2 and max(map(max, filter(None, found))) <= 0.4
    assert (each.placement.class_name, each.placement.size, each.placement.overlap) == ("stain", (0.01, 0.1), 1.0)


def test_a_probability_changes_which_pictures_have_damage_and_not_which_damage():
    def severities(probability: float, seed: int):
        each = DamageClass("stain", "", probability, (1, 3), (0.01, 0.1), (0.6, 1.7), (0.0, 1.0), 0.0)
        return each.severities(np.random.default_rng(seed))

    for seed in range(20):
        assert severities(0.5, seed) in ([], severities(1.0, seed))
