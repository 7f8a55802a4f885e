"""Which damages a picture gets: from a mask, from boxes, at random."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.inpaint.damage import (
    AtRandom,
    DamageClass,
    InBoxes,
    InMasks,
    choices,
    damage_in_box,
    damages_in_mask,
    with_margin,
)
from wetgen.runtime.layouts.boxes import BoxDamage, read_boxes
from wetgen.runtime.layouts.surfaces import SurfaceLines, parse_lines
from wetgen.runtime.masks.images import encode_mask
from wetgen.runtime.masks.regions import Box
from wetgen.runtime.prompts.text import mentioned_classes

SIZE = (240, 320)
CRACK, STAIN, MOLD = 1, 2, 3


def mask_with(*squares: tuple[int, int, int, int], size: tuple[int, int] = SIZE) -> np.ndarray:
    """uint8 (H, W): squares of 10 pixels, each (class id, top, left, side)."""
    mask = np.zeros(size, np.uint8)
    for class_id, top, left, side in squares:
        mask[top : top + side, left : left + side] = class_id
    return mask


def covered(planned, size: tuple[int, int] = SIZE) -> np.ndarray:
    """uint8 (H, W): how often each pixel is in the mask of a damage."""
    count = np.zeros(size, np.uint8)
    for each in planned:
        count[each.box.slices] += each.mask > 0
    return count


# From a mask


def test_near_regions_are_one_damage_and_far_ones_several(bundle):
    margin = with_margin(Box(50, 50, 10, 10), SIZE)[1]
    near = damages_in_mask(mask_with((STAIN, 50, 50, 10), (STAIN, 50, 60 + 2 * margin - 1, 10)), bundle, None)
    assert len(near) == 1 and near[0].mask.sum() == STAIN * 200
    far = damages_in_mask(mask_with((STAIN, 50, 50, 10), (STAIN, 50, 60 + 2 * margin, 10)), bundle, None)
    assert [each.box for each in far] == [Box(left, 50, 10, 10).grown(margin) for left in (50, 60 + 2 * margin)]


def test_regions_that_are_near_only_together_are_one_damage(bundle):
    """Two that merge reach further, and then meet a third."""
    left, right, below = (STAIN, 20, 50, 40), (STAIN, 20, 110, 40), (STAIN, 86, 95, 10)
    for two in ((left, below), (right, below)):
        assert len(damages_in_mask(mask_with(*two), bundle, None)) == 2
    assert len(damages_in_mask(mask_with(left, right), bundle, None)) == 1
    assert len(damages_in_mask(mask_with(left, right, below), bundle, None)) == 1


def test_each_class_is_painted_by_itself(bundle):
    planned = damages_in_mask(mask_with((MOLD, 50, 50, 20), (STAIN, 60, 65, 20)), bundle, None)
    assert [(each.class_name, each.prompt) for each in planned] == [("stain", "stain"), ("mold", "mold")]
    assert [set(np.unique(each.mask)) for each in planned] == [{0, STAIN}, {0, MOLD}]
    assert planned[0].box.overlap(planned[1].box) > 0


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.integers(1, 3), st.integers(0, 85), st.integers(0, 125), st.integers(1, 40)),
        min_size=1,
        max_size=12,
    )
)
def test_every_pixel_of_a_mask_is_in_one_damage_of_its_class(bundle, squares):
    mask = mask_with(*squares, size=(90, 130))
    planned = damages_in_mask(mask, bundle, None)
    for class_id in range(1, 4):
        name = bundle.classes.names[class_id]
        ours = [each for each in planned if each.class_name == name]
        np.testing.assert_array_equal(covered(ours, (90, 130)), mask == class_id)
        for place, one in enumerate(ours):
            assert one.box.inside((90, 130)) and set(np.unique(one.mask)) == {0, class_id}
            assert not any(one.box.overlap(other.box) for other in ours[place + 1 :])


def test_a_margin_around_damage_may_change_and_no_more(bundle):
    (only,) = damages_in_mask(mask_with((STAIN, 50, 50, 100)), bundle, None)
    margin = with_margin(Box(50, 50, 100, 100), SIZE)[1]
    assert only.box == Box(50, 50, 100, 100).grown(margin) and only.where.all()
    lean = mask_with((STAIN, 50, 50, 10), (STAIN, 60, 60, 10), (STAIN, 70, 70, 10))
    (slanted,) = damages_in_mask(lean, bundle, None)
    where = np.zeros(SIZE, bool)
    where[slanted.box.slices] = slanted.where
    margin = with_margin(Box(50, 50, 30, 30), SIZE)[1]
    near = np.zeros(SIZE, bool)
    for corner in (50, 60, 70):
        near[corner - margin : corner + 10 + margin, corner - margin : corner + 10 + margin] = True
    np.testing.assert_array_equal(where, near)
    assert not where[slanted.box.slices].all(), "the far corners of the box stay"


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("a brown water stain", "a brown water stain"),
        ("a wet wall", "a wet wall"),  # it names no class, so it may be any
        ("black mold in a corner", "stain"),
        ("mold and a stain", "stain"),  # each damage is one class
        (None, "stain"),
    ],
)
def test_a_prompt_is_used_where_it_asks_for_nothing_else(bundle, prompt, said):
    (only,) = damages_in_mask(mask_with((STAIN, 50, 50, 10)), bundle, prompt, 0.25)
    assert only.prompt == said and only.severity == 0.25


def test_an_empty_mask_has_no_damage(bundle):
    assert damages_in_mask(np.zeros(SIZE, np.uint8), bundle, None) == []


def test_a_mask_of_thousands_of_specks_is_planned_at_once(bundle):
    """A scan's noise: looking at every pair of regions again after each merge would take hours."""
    rng = np.random.default_rng(0)
    mask = np.zeros((1200, 1600), np.uint8)
    mask[rng.integers(0, 1200, 2000), rng.integers(0, 1600, 2000)] = STAIN
    planned = damages_in_mask(mask, bundle, None)
    np.testing.assert_array_equal(covered(planned, (1200, 1600)), mask > 0)


# In boxes


def plan_box(bundle, given: BoxDamage, size=SIZE, seed=0, prompts=None):
    return damage_in_box(choices(seed, 0, 0), bundle, given, prompts or {}, size)


@pytest.mark.parametrize("name", ["crack", "stain", "mold"])
@pytest.mark.parametrize("box", [Box(100, 60, 80, 50), Box(0, 0, 320, 240), Box(319, 239, 1, 1), Box(7, 0, 1, 240)])
def test_damage_in_a_box_lies_in_the_box(bundle, name, box):
    planned = plan_box(bundle, BoxDamage(name, box, 0.5))
    damage, class_id = planned, bundle.classes.names.index(name)
    region = with_margin(box, SIZE)[0]
    assert damage.box == region and damage.where is None and region.inside(SIZE)
    whole = np.zeros(SIZE, np.uint8)
    whole[region.slices] = damage.mask
    assert set(np.unique(whole[box.slices])) <= {0, class_id} and (whole[box.slices] == class_id).any()
    whole[box.slices] = 0
    assert not whole.any()


def test_a_margin_is_a_share_of_the_longer_side_and_a_few_pixels_at_least():
    box = Box(50, 60, 100, 20)
    region, margin = with_margin(box, SIZE)
    assert region == box.grown(margin) and 0.1 * 100 <= margin <= 0.2 * 100
    assert with_margin(Box(60, 50, 20, 100), SIZE)[1] == margin
    least = with_margin(Box(50, 50, 2, 2), SIZE)[1]
    assert with_margin(Box(50, 50, 10, 10), SIZE)[1] == least >= 6
    assert with_margin(Box(0, 230, 10, 10), SIZE)[0] == Box(0, 230 - least, 10 + least, 10 + least), "the picture ends"


def test_a_greater_severity_covers_more(bundle):
    areas = [
        (plan_box(bundle, BoxDamage("stain", Box(20, 20, 200, 150), severity)).mask > 0).sum()
        for severity in (0.0, 0.3, 0.7, 1.0)
    ]
    assert areas == sorted(areas) and areas[-1] > 2 * areas[0]


def test_a_severity_that_is_not_said_is_drawn(bundle):
    found = {plan_box(bundle, BoxDamage("stain", Box(0, 0, 50, 50)), seed=seed).severity for seed in range(20)}
    assert len(found) == 20 and all(0 <= severity < 1 for severity in found)


def test_a_box_speaks_first_then_its_class_then_the_bundle(bundle):
    box = Box(0, 0, 50, 50)
    said = [
        plan_box(bundle, BoxDamage("stain", box, 0.5, prompt), prompts=prompts).prompt
        for prompt, prompts in (("a tide mark", {"stain": "damp"}), (None, {"stain": "damp"}), (None, {"mold": "damp"}))
    ]
    assert said == ["a tide mark", "damp", "stain"]


def test_boxes_hold_for_their_picture_or_for_all(bundle, tmp_path):
    (tmp_path / "b.csv").write_text(
        "file_name,class,x,y,width,height\na.png,stain,10%,10%,20%,20%\nb.png,mold,5,5,40,40\na.png,crack,0,0,9,9\n"
    )
    planner = InBoxes(bundle, 0, read_boxes(tmp_path / "b.csv", bundle.classes))
    names = [[each.class_name for each in planner.plan(0, 0, name, SIZE)[0]] for name in ("a.png", "b.png", "c.png")]
    assert names == [["stain", "crack"], ["mold"], []]
    (first, _), dropped = planner.plan(0, 0, "a.png", SIZE)
    assert dropped == [] and first.box == with_margin(Box(32, 24, 64, 48), SIZE)[0]


# At random


def damage_class(name="stain", *, probability=1.0, count=(1, 1), size=(0.01, 0.05), severity=(0.0, 1.0), overlap=0.0):
    return DamageClass(name, f"some {name}", probability, count, size, (0.6, 1.7), severity, overlap)


def at_random(bundle, *classes, seed=0, lines=None):
    return AtRandom(bundle, seed, classes, SurfaceLines() if lines is None else lines)


def told(plan):
    """What a plan says, in a form that can be compared."""
    planned, dropped = plan
    return [(p.class_name, p.severity, p.prompt, p.box, p.mask.tobytes()) for p in planned], dropped


def test_a_plan_follows_from_seed_index_and_try_alone(bundle):
    def plan(seed, index, attempt):
        return told(at_random(bundle, damage_class(count=(1, 3)), seed=seed).plan(index, attempt, "a.png", SIZE))

    assert plan(3, 4, 1) == plan(3, 4, 1)
    assert len({str(plan(*key)) for key in ((3, 4, 1), (4, 4, 1), (3, 5, 1), (3, 4, 2))}) == 4


def test_the_name_of_the_picture_decides_nothing_at_random(bundle):
    planner = at_random(bundle, damage_class())
    assert told(planner.plan(0, 0, "a.png", SIZE)) == told(planner.plan(0, 0, "b.png", SIZE))


@pytest.mark.parametrize(("probability", "pictures"), [(0.0, 0), (1.0, 40)])
def test_what_is_sure_and_what_is_impossible(bundle, probability, pictures):
    planner = at_random(bundle, damage_class(probability=probability))
    assert sum(bool(planner.plan(index, 0, "", SIZE)[0]) for index in range(40)) == pictures


def test_a_probability_is_that_of_a_picture_to_have_the_class(bundle):
    planner = at_random(bundle, damage_class(probability=0.3), damage_class("mold", probability=0.6))
    plans = [planner.plan(index, 0, "", (60, 80))[0] for index in range(120)]
    for name, probability in (("stain", 0.3), ("mold", 0.6)):
        share = np.mean([any(each.class_name == name for each in plan) for plan in plans])
        assert share == pytest.approx(probability, abs=3 * (0.25 / 120) ** 0.5)  # three standard deviations


def test_counts_lie_between_the_least_and_the_most(bundle):
    planner = at_random(bundle, damage_class(count=(2, 4), size=(0.001, 0.002)))
    plans = [planner.plan(index, 0, "", SIZE) for index in range(40)]
    assert {len(planned) + len(dropped) for planned, dropped in plans} == {2, 3, 4}
    assert sum(len(dropped) for _, dropped in plans) == 0, "there is room for four so small"


def test_sizes_are_shares_of_the_picture(bundle, monkeypatch):
    boxes = []

    def watched(rng, bundle, given, prompts, size):
        boxes.append(given.box)
        return damage_in_box(rng, bundle, given, prompts, size)

    monkeypatch.setattr("wetgen.runtime.inpaint.damage.damage_in_box", watched)
    planner = at_random(bundle, damage_class(size=(0.02, 0.08)))
    for index in range(60):
        planner.plan(index, 0, "", SIZE)
    shares = [box.area / (SIZE[0] * SIZE[1]) for box in boxes]
    aspects = [box.width / box.height for box in boxes]
    # Sides of at least 30 pixels are rounded to whole ones.
    assert min(shares) >= 0.02 * 0.96 and max(shares) <= 0.08 * 1.04 and max(shares) > 2 * min(shares)
    assert min(aspects) >= 0.6 * 0.96 and max(aspects) <= 1.7 * 1.04 and max(aspects) > 1.5 * min(aspects)


def test_damages_that_may_never_overlap_do_not(bundle):
    """What is drawn keeps to its box; only the margins around it may meet."""
    planner = at_random(bundle, damage_class(count=(3, 3)), damage_class("mold", count=(3, 3)))
    for index in range(20):
        planned, _ = planner.plan(index, 0, "", SIZE)
        assert covered(planned).max() == 1


def test_damages_that_may_overlap_do_so_in_time(bundle):
    planner = at_random(bundle, damage_class(count=(6, 6), size=(0.05, 0.2), overlap=1.0))
    assert max(covered(planner.plan(index, 0, "", SIZE)[0]).max() for index in range(10)) > 1


def test_severities_lie_in_their_range(bundle):
    planner = at_random(bundle, damage_class(count=(5, 5), size=(0.001, 0.002), severity=(0.4, 0.6)))
    found = [each.severity for index in range(10) for each in planner.plan(index, 0, "", SIZE)[0]]
    assert min(found) >= 0.4 and max(found) <= 0.6 and max(found) - min(found) > 0.15


def test_what_finds_no_place_is_said(bundle):
    planned, dropped = at_random(bundle, damage_class(count=(4, 4), size=(0.45, 0.5))).plan(0, 0, "", SIZE)
    assert len(planned) + len(dropped) == 4 and dropped
    assert all(why.startswith("stain: There is no place for stain") for why in dropped)


def test_a_class_that_lies_on_no_surface_of_the_picture_is_said(bundle):
    planned, dropped = at_random(bundle, damage_class(), lines=parse_lines("surface=floor")).plan(0, 0, "", SIZE)
    assert planned == [] and dropped == ["stain: stain cannot be on this floor"]


def test_two_rows_of_one_class_keep_their_prompts(bundle):
    """Brown stains and yellow ones, each as often and as large as its row says."""
    brown = DamageClass("stain", "a brown stain", 1.0, (1, 1), (0.01, 0.02), (0.6, 1.7), (0.0, 1.0), 0.0)
    yellow = DamageClass("stain", "a yellow stain", 1.0, (2, 2), (0.01, 0.02), (0.6, 1.7), (0.0, 1.0), 0.0)
    planned, _ = at_random(bundle, brown, yellow).plan(0, 0, "", SIZE)
    assert [each.prompt for each in planned] == ["a brown stain", "a yellow stain", "a yellow stain"]


def test_prompts_of_dropped_damages_go_to_no_other(bundle):
    huge = DamageClass("stain", "a huge stain", 1.0, (3, 3), (0.6, 0.7), (0.6, 1.7), (0.0, 1.0), 0.0)
    small = DamageClass("stain", "a small stain", 1.0, (1, 1), (0.001, 0.002), (0.6, 1.7), (0.0, 1.0), 1.0)
    for index in range(5):
        planned, dropped = at_random(bundle, huge, small).plan(index, 0, "", SIZE)
        prompts = [each.prompt for each in planned]
        assert len(prompts) + len(dropped) == 4 and prompts.count("a huge stain") == 1
        sides = {each.prompt: max(each.box.size) for each in planned}
        assert sides["a huge stain"] > 150 and sides.get("a small stain", 0) < 60


# From a folder of masks


def test_a_mask_says_what_lies_where_with_the_prompts_of_classes(bundle, tmp_path):
    (tmp_path / "a.png").write_bytes(encode_mask(mask_with((STAIN, 50, 50, 20), (MOLD, 100, 100, 20))))
    planned, dropped = InMasks(bundle, tmp_path, {"mold": "black mold"}).plan(0, 0, "a.jpg", SIZE)
    assert [(p.class_name, p.prompt, p.severity) for p in planned] == [
        ("stain", "stain", None),
        ("mold", "black mold", None),
    ]
    assert dropped == [] and mentioned_classes(planned[1].prompt, bundle.words) == ("mold",)


def test_every_photograph_needs_its_mask(bundle, tmp_path):
    (tmp_path / "a.png").write_bytes(encode_mask(mask_with()))
    masks = InMasks(bundle, tmp_path)
    masks.check([tmp_path / "x" / "a.jpg"])
    with pytest.raises(WetgenError, match=r"has no mask for b\.jpg") as caught:
        masks.check([tmp_path / "x" / name for name in ("a.jpg", "b.jpg", "c.png")])
    assert caught.value.why == "b.png does not exist (masks missing: 2 of 3)."


def test_a_mask_of_another_size_is_refused_with_both_sizes(bundle, tmp_path):
    (tmp_path / "a.png").write_bytes(encode_mask(mask_with()))
    with pytest.raises(WetgenError, match=r"is 320 x 240, its photograph a\.jpg is 240 x 320") as caught:
        InMasks(bundle, tmp_path).plan(0, 0, "a.jpg", (320, 240))
    assert "EXIF" in caught.value.fix


@pytest.mark.parametrize("strange", [4, 255])
def test_ids_that_the_class_table_lacks_are_refused(bundle, tmp_path, strange):
    mask = mask_with()
    mask[3, 5] = strange
    (tmp_path / "a.png").write_bytes(encode_mask(mask))
    with pytest.raises(WetgenError, match=str(strange)):
        InMasks(bundle, tmp_path).plan(0, 0, "a.jpg", SIZE)
