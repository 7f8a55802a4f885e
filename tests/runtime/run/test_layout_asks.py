"""`--layouts DIR`: each mask in turn, each with a prompt that asks for what it shows."""

from dataclasses import replace

import numpy as np
import pytest

from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.layouts.write import SHEET_NAME
from wetgen.runtime.masks.images import encode_mask
from wetgen.runtime.prompts.lines import PromptRequest
from wetgen.runtime.prompts.read import read_prompt_file
from wetgen.runtime.run.layout_requests import layout_requests, mask_files

CRACK, STAIN, MOLD = 1, 2, 3


@pytest.fixture
def folder(tmp_path):
    """Writes masks of 4 x 4 pixels, each with one pixel of the classes that are named."""

    def write(**shown):
        for name, ids in shown.items():
            mask = np.zeros((4, 4), np.uint8)
            mask.flat[: len(ids)] = ids
            (tmp_path / f"{name}.png").write_bytes(encode_mask(mask))
        return tmp_path

    return write


@pytest.fixture
def prompts(tmp_path_factory, bundle):
    """Asks of the lines of a prompts file."""

    def read(*lines):
        file = tmp_path_factory.mktemp("prompts") / "p.txt"
        file.write_text("\n".join(lines))
        return read_prompt_file(str(file), bundle.words)

    return read


def names(asks):
    return [ask.layout.rsplit("/", 1)[-1].removesuffix(".png") for ask in asks]


def test_masks_come_by_name_and_then_again(folder, bundle):
    asks = layout_requests(folder(b=[CRACK], c=[MOLD], a=[STAIN]), bundle, 3, None)
    assert names(asks) == ["a", "b", "c"] * 3
    assert [ask.number for ask in asks] == list(range(9))


def test_a_larger_count_adds_asks_and_changes_none(folder, bundle, prompts):
    masks, asked = folder(a=[CRACK], b=[CRACK], c=[STAIN]), prompts("a crack", "cracks", "a stain")
    once, often = (layout_requests(masks, bundle, count, asked) for count in (1, 4))
    assert often[:3] == once and len(often) == 12


def test_without_prompts_the_classes_are_the_prompt(folder, bundle):
    """By the first of the bundle's words for each, in the order of the class table."""
    masks = folder(a=[STAIN], b=[MOLD, CRACK], c=[MOLD, STAIN, CRACK], d=[])
    asks = layout_requests(masks, bundle, 1, None)
    assert [ask.text for ask in asks] == [
        "stain",
        "crack and mold",
        "crack, stain and mold",
        "an undamaged wall",
    ]


def test_each_layout_takes_its_turn_of_the_prompts_that_fit(folder, bundle, prompts):
    masks = folder(a=[CRACK], b=[STAIN], c=[CRACK], d=[CRACK])
    asks = layout_requests(masks, bundle, 2, prompts("a crack", "a stain", "cracks", "a water stain", "mold"))
    assert list(zip(names(asks), [ask.text for ask in asks], strict=True)) == [
        ("a", "a crack"),
        ("b", "a stain"),
        ("c", "cracks"),
        ("d", "a crack"),
        ("a", "cracks"),
        ("b", "a water stain"),
        ("c", "a crack"),
        ("d", "cracks"),
    ]


def test_a_prompt_fits_when_it_asks_for_just_what_the_mask_shows(folder, bundle, prompts):
    asked = prompts("a crack", "mold and a crack", "a clean wall", "a crack without mold")
    masks = folder(a=[CRACK, MOLD], b=[], c=[CRACK])
    asks = layout_requests(masks, bundle, 2, asked)
    assert [ask.text for ask in asks] == [
        "mold and a crack",
        "a clean wall",
        "a crack",
        "mold and a crack",
        "a clean wall",
        "a crack without mold",
    ]


def test_the_option_class_says_what_a_prompt_is_about(folder, bundle, prompts):
    (ask,) = layout_requests(folder(a=[MOLD]), bundle, 1, prompts("a wall with a crack --class mold"))
    assert (ask.text, ask.asked) == ("a wall with a crack", "mold")


def test_the_order_in_which_a_bundle_lists_its_words_does_not_matter(folder, bundle, prompts):
    turned = replace(bundle, words=dict(reversed(bundle.words.items())))
    masks, asked = folder(a=[CRACK, MOLD]), prompts("mold and a crack")
    assert layout_requests(masks, turned, 1, asked) == layout_requests(masks, bundle, 1, asked)


def test_what_a_line_says_goes_with_its_prompt(folder, bundle, prompts):
    """A seed's noise goes on with the layouts, so that no two of them have the same."""
    line = 'a crack --seed 9 --guidance 2 --negative "people" --plan two --severity 0.5'
    first, second = layout_requests(folder(a=[CRACK], b=[CRACK]), bundle, 1, prompts("# nothing", line))
    assert (first.line, first.seed, first.guidance, first.negative, first.plan) == (2, 9, 2.0, "people", "two")
    assert (first.number, second.number) == (0, 1) and first.severity == 0.5


@pytest.mark.parametrize("shown, said", [([MOLD], "it shows mold,"), ([], "it shows no damage,")])
def test_a_layout_that_no_prompt_fits_is_named(folder, bundle, prompts, shown, said):
    masks = folder(a=[CRACK], b=shown)
    with pytest.raises(WetgenError) as caught:
        layout_requests(masks, bundle, 1, prompts("a crack", "a crack and mold"))
    assert caught.value.what == f"No prompt fits the layout {masks / 'b.png'}." and said in caught.value.why


def test_a_prompt_with_a_layout_of_its_own_is_refused(folder, bundle, prompts):
    """Which of the two would be shown is nobody's guess."""
    with pytest.raises(WetgenError, match=r"Line 2 of the prompts has the layout x\.png, and --layouts gives others"):
        layout_requests(folder(a=[CRACK]), bundle, 1, prompts("a crack", "a crack --layout x.png"))


def test_only_png_files_of_the_folder_itself_are_masks(folder):
    masks = folder(b=[CRACK], a=[])
    (masks / "notes.txt").write_text("mine")
    (masks / "C.PNG").write_bytes((masks / "a.png").read_bytes())
    (masks / "inside.png").mkdir()
    (masks / "deeper").mkdir()
    (masks / "deeper" / "d.png").write_bytes((masks / "a.png").read_bytes())
    assert [path.name for path in mask_files(masks)] == ["C.PNG", "a.png", "b.png"]


def test_the_sheet_that_lies_beside_drawn_layouts_is_no_layout(folder):
    masks = folder(a=[CRACK])
    (masks / SHEET_NAME).write_bytes(b"a picture in colour")
    assert [path.name for path in mask_files(masks)] == ["a.png"]


def test_a_folder_without_masks_says_how_to_get_some(tmp_path):
    with pytest.raises(WetgenError, match="holds no layouts") as caught:
        mask_files(tmp_path)
    assert "wetgen layouts" in caught.value.fix
    for path in (tmp_path / "missing", tmp_path / "file"):
        (tmp_path / "file").write_text("")
        with pytest.raises(WetgenError, match="could not be read"):
            mask_files(path)


def test_a_mask_that_is_none_is_named(folder, bundle):
    masks = folder(a=[CRACK], b=[77])
    with pytest.raises(WetgenError) as caught:
        layout_requests(masks, bundle, 1, None)
    assert caught.value.what == f"{masks / 'b.png'} has class ids that the class table lacks: 77 (1 pixels)."


def test_a_bundle_that_takes_no_layouts_is_told_first(tmp_path, images_only_folder):
    with pytest.raises(WetgenError, match="takes no layouts"):
        layout_requests(tmp_path / "missing", Bundle.open(images_only_folder), 1, None)


def test_thousands_of_prompts_are_gone_through_once(folder, bundle, monkeypatch):
    looked = []
    monkeypatch.setattr(
        "wetgen.runtime.run.layout_requests.mentioned_classes", lambda text, words: looked.append(text) or ("crack",)
    )
    masks = folder(**{f"m{number}": [CRACK] for number in range(20)})
    layout_requests(masks, bundle, 2, [PromptRequest(line, f"crack {line}", 0) for line in range(1, 31)])
    assert len(looked) == 30
