"""Backgrounds: rows of backgrounds.csv, photographs in a folder, surfaces drawn until they show no damage."""

from collections import Counter

import numpy as np
import pytest
from PIL import Image

from wetgen.runtime.bundle.archive import file_sha256
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.inpaint.backgrounds import (
    CLEAN_TRIES,
    cropped,
    draw_surfaces,
    photograph_files,
    read_photograph,
)
from wetgen.runtime.layouts.surfaces import SurfaceLines
from wetgen.runtime.run.paint_tasks import BackgroundRow, read_backgrounds
from wetgen.runtime.sampling.sampler import SampleInputs, SamplingParams, layout_of

# backgrounds.csv


def read(tmp_path, text: str) -> list[BackgroundRow]:
    (tmp_path / "b.csv").write_text(text, encoding="utf-8")
    return read_backgrounds(tmp_path / "b.csv")


def test_every_column_is_read(tmp_path):
    assert read(
        tmp_path,
        "prompt,weight,negative,guidance,surface_lines\n"
        'a white wall,3,dirt,2.5,"ceiling=0.2,floor=0.8:0.9"\n'
        "a ceiling,,,,surface=ceiling\n",
    ) == [
        BackgroundRow("a white wall", 3, "dirt", 2.5, SurfaceLines(ceiling=(0.2, 0.2), floor=(0.8, 0.9))),
        BackgroundRow("a ceiling", 1, "", None, SurfaceLines(surface="ceiling")),
    ]


def test_a_prompt_is_enough(tmp_path):
    assert read(tmp_path, "prompt\na wall\n") == [BackgroundRow("a wall", 1, "", None, SurfaceLines())]


@pytest.mark.parametrize(
    ("row", "what", "said"),
    [
        (",1,,,", "line 2: prompt is empty", "fill it in"),
        ("a wall,-1,,,", "line 2: weight is -1", "between 0 and 1e+06"),
        ("a wall,1e7,,,", "line 2: weight is 1e7", "between 0 and 1e+06"),
        ("a wall,often,,,", "line 2: weight is 'often'", "no number"),
        ("a wall,1,,nan,", "line 2: guidance is 'nan'", "no number"),
        ("a wall,1,,1e39,", "line 2: guidance is 1e39", "it must lie between"),
        (
            "a wall,1,,,roof=0.2",
            "column surface_lines: The surface lines cannot be used: roof=0.2",
            "the names are",
        ),
        ('a wall,1,,,"ceiling=0.9,floor=0.2"', "line 2, column surface_lines: The surface lines", "above the floor's"),
        ("a wall,1,,,ceiling=nan", "line 2, column surface_lines: The surface lines", "0 to 1"),
        ("a wall,1", "line 2: the row has 2 cells", "the header names 5 columns"),
    ],
)
def test_what_is_wrong_is_said_with_line_and_column(tmp_path, row, what, said):
    with pytest.raises(WetgenError) as caught:
        read(tmp_path, f"prompt,weight,negative,guidance,surface_lines\n{row}\n")
    assert what in caught.value.what and "line 2" in caught.value.what, caught.value.what
    assert said in f"{caught.value.why} {caught.value.fix}", str(caught.value)


@pytest.mark.parametrize(
    ("text", "why"), [("prompt,weight\n", "nothing below"), ("prompt,weight\na,0\nb,0\n", "every weight is 0")]
)
def test_without_any_background_nothing_can_be_drawn(tmp_path, text, why):
    with pytest.raises(WetgenError, match="holds no backgrounds") as caught:
        read(tmp_path, text)
    assert why in caught.value.why


# Photographs


def photo(path, size=(12, 9), level=90):
    Image.fromarray(np.full((size[1], size[0], 3), level, np.uint8)).save(path)
    return path


def test_photographs_are_the_pictures_of_a_folder_by_name(tmp_path):
    for name in ("b.PNG", "a.jpg", "c.jpeg", ".hidden.png"):
        photo(tmp_path / "x.png").rename(tmp_path / name)
    (tmp_path / "notes.txt").write_text("wet")
    (tmp_path / "masks").mkdir()
    assert [path.name for path in photograph_files(tmp_path)] == ["a.jpg", "b.PNG", "c.jpeg"]
    assert photograph_files(tmp_path / "a.jpg") == [tmp_path / "a.jpg"]


def test_a_photograph_is_known_by_its_name_and_its_hash(tmp_path):
    path = photo(tmp_path / "wall.png", level=20)
    background = read_photograph(path)
    assert (background.image == 20).all() and not background.damaged
    assert background.metadata == {"photo": "wall.png", "sha256": file_sha256(path)}


def test_a_picture_is_cropped_around_its_middle():
    ramp = np.tile(np.arange(200, dtype=np.uint8), (100, 1))[..., None].repeat(3, -1)
    made = cropped(ramp, (50, 50))
    assert made.shape == (50, 50, 3)
    # Twice smaller, columns 50 to 149 of 200 are left; Lanczos keeps a ramp to a level but at its ends.
    np.testing.assert_allclose(made[25, 3:-3, 0], np.arange(50)[3:-3] * 2 + 50.5, atol=1)
    np.testing.assert_array_equal(cropped(ramp, (100, 200)), ramp)


# Surfaces that are drawn


@pytest.fixture
def clean(bundle):
    return layout_of(np.zeros((32, 32), np.uint8), bundle.sizes)


@pytest.fixture
def surfaces(clean):
    def make(count: int, attempt: int = 0) -> list[SampleInputs]:
        params = SamplingParams("four", 2.0, "dirt")
        return [SampleInputs(f"wall {number}", 5, number, params, attempt, clean) for number in range(count)]

    return make


def test_surfaces_are_drawn_with_a_layout_that_shows_no_damage(bundle, canvas_double, surfaces):
    made = draw_surfaces(canvas_double, bundle.plan(None), surfaces(3))
    ((first, *_),) = canvas_double.asked
    assert (first.prompt, first.params.negative, first.params.guidance, first.seed, first.number, first.attempt) == (
        "wall 0", "dirt", 2.0, 5, 0, 0
    )  # fmt: skip
    np.testing.assert_array_equal(first.layout[0], 1)
    assert not any(each.damaged for each in made) and len({each.image.tobytes() for each in made}) == 3
    assert made[2].metadata == {
        "prompt": "wall 2", "seed": 5, "number": 2, "try": 0, "guidance": 2.0, "negative": "dirt"
    }  # fmt: skip


def test_a_surface_that_shows_damage_is_drawn_again_alone(bundle, canvas_double, surfaces):
    """The second of three is damaged twice; its row says which noise it had in the end."""
    bad = {(1, 6), (1, 7)}

    def shape(mask, free):
        key = canvas_double.asked[-1][shape.place]
        shape.place = (shape.place + 1) % len(canvas_double.asked[-1])
        return np.full_like(mask, 2) if (key.number, key.attempt) in bad else mask

    shape.place = 0
    canvas_double.shape = shape
    made = draw_surfaces(canvas_double, bundle.plan(None), surfaces(3, attempt=1))
    drawn = [[(each.number, each.attempt) for each in asked] for asked in canvas_double.asked]
    assert drawn == [[(0, 6), (1, 6), (2, 6)], [(1, 7)], [(1, 8)]]
    assert [each.metadata["try"] for each in made] == [6, 8, 6] and not any(each.damaged for each in made)


def test_a_surface_that_is_always_damaged_says_so(bundle, canvas_double, surfaces):
    canvas_double.shape = lambda mask, free: np.full_like(mask, 2)
    (only,) = draw_surfaces(canvas_double, bundle.plan(None), surfaces(1))
    assert only.damaged and len(canvas_double.asked) == CLEAN_TRIES
    tries = Counter(each.attempt for asked in canvas_double.asked for each in asked)
    assert tries == Counter(range(CLEAN_TRIES)), "each try has noise of its own"


@pytest.mark.parametrize(("pixels", "damaged"), [(2, False), (3, True)])
def test_a_speck_is_no_damage(bundle, canvas_double, surfaces, pixels, damaged):
    def shape(mask, free):
        mask.ravel()[:pixels] = 2  # of 1024, of which two thousandths are 2.048
        return mask

    canvas_double.shape = shape
    (only,) = draw_surfaces(canvas_double, bundle.plan(None), surfaces(1))
    assert only.damaged == damaged
