"""Painting into pictures: what changes, what stays, and damage that finds no room."""

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.inpaint.blend import PaintedImage
from wetgen.runtime.inpaint.painter import GROWTHS, InpaintRequest, Painter, PlannedDamage
from wetgen.runtime.masks.regions import Box
from wetgen.runtime.sampling.generator import Generator
from wetgen.runtime.sampling.sampler import SampleInputs, SamplingParams, starting_noise

STAIN, MOLD = 2, 3
PARAMS = SamplingParams("four", 3.0, "")


def picture(height: int = 70, width: int = 90, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(120, 180, (height, width, 3)).astype(np.uint8)


def damage(box: Box, *, fill: float = 0.6, class_id: int = STAIN, where: np.ndarray | None = None) -> PlannedDamage:
    """A rectangle of a class in the middle of its box, `fill` of it on each side."""
    mask = np.zeros(box.size, np.uint8)
    rows, columns = (round(side * (1 - fill) / 2) for side in box.size)
    mask[rows : box.height - rows, columns : box.width - columns] = class_id
    return PlannedDamage("stain", "a stain", box, mask, where)


def request(canvas: PaintedImage, what: PlannedDamage, *, number: int = 0, attempt: int = 0) -> InpaintRequest:
    return InpaintRequest(canvas, what, SampleInputs("a stain", 7, number, PARAMS, attempt))


def blob(side: int):
    """A shape that the denoiser might insist on: a square of so many pixels in the middle of what is free."""

    def shape(mask: np.ndarray, free: np.ndarray) -> np.ndarray:
        rows, columns = np.nonzero(free)
        y, x = int(rows.mean()), int(columns.mean())
        made = np.zeros_like(mask)
        made[max(0, y - side // 2) : y + side // 2, max(0, x - side // 2) : x + side // 2] = STAIN
        return np.where(free, made, 0).astype(np.uint8)

    return shape


def everything(mask: np.ndarray, free: np.ndarray) -> np.ndarray:
    return np.where(free, STAIN, 0).astype(np.uint8)


def outside(box: Box, shape: tuple[int, ...], where: np.ndarray | None = None) -> np.ndarray:
    """bool (H, W): the pixels that may not change."""
    there = np.ones(shape[:2], bool)
    there[box.slices] = False if where is None else ~where
    return there


def assert_kept(canvas: PaintedImage, before: PaintedImage, pixels: np.ndarray) -> None:
    for name in ("image", "mask", "confidence"):
        np.testing.assert_array_equal(getattr(canvas, name)[pixels], getattr(before, name)[pixels], name)


def test_a_painted_image_begins_as_the_picture_undamaged_and_sure():
    image = picture()
    canvas = PaintedImage.over(image)
    assert not canvas.mask.any() and (canvas.confidence == 255).all()
    canvas.image[:] = 0
    np.testing.assert_array_equal(image, picture(), "the picture itself is not painted in")


def test_damage_lies_where_it_was_asked_for(painter):
    canvas, box = PaintedImage.over(picture()), Box(20, 16, 40, 32)
    (result,) = painter.paint([request(canvas, damage(box))])
    assert (result.box, result.growths) == (box, 0) and result.painted is not None
    wanted = np.zeros((70, 90), bool)
    wanted[24:40, 30:50] = True
    found = canvas.mask == STAIN
    # A frame of 60 x 51 pixels is drawn at 48 x 40: cells of 4 pixels may be missed by half, on every side.
    assert (found & wanted).sum() / (found | wanted).sum() > 0.6
    assert canvas.image[found].mean() < picture()[found].mean() - 50
    assert set(np.unique(canvas.mask)) == {0, STAIN}
    assert set(np.unique(canvas.confidence[box.slices])) == {180}


boxes = st.builds(
    lambda left, top, width, height: Box(left, top, min(width, 90 - left), min(height, 70 - top)),
    st.integers(0, 80),
    st.integers(0, 60),
    st.integers(6, 90),
    st.integers(6, 70),
)
quick = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)  # the double keeps nothing that a request depends on


@quick
@given(boxes, st.sampled_from((None, everything, blob(24))), st.integers(0, 5), st.booleans())
def test_every_pixel_outside_the_region_stays_byte_for_byte(painter, canvas_double, box, shape, seed, partly):
    canvas_double.shape = shape
    where = np.random.default_rng(seed).random(box.size) < 0.7 if partly else None
    canvas = PaintedImage.over(picture())
    before = PaintedImage.over(picture())
    (result,) = painter.paint([request(canvas, damage(box, where=where))])
    if result.painted is None:
        assert_kept(canvas, before, np.ones((70, 90), bool))
    else:
        assert_kept(canvas, before, outside(result.box, (70, 90), where if result.growths == 0 else None))
    assert result.box.overlap(box) == box.area and result.box.inside((70, 90))


@quick
@example(box=Box(13, 0, 13, 40), shape=everything, fill=0.6)
@example(box=Box(0, 3, 34, 13), shape=everything, fill=0.6)
@example(box=Box(0, 0, 34, 14), shape=everything, fill=0.6)
@example(box=Box(0, 0, 14, 34), shape=everything, fill=0.6)
@given(boxes, st.sampled_from((everything, blob(12), blob(24), blob(40))), st.sampled_from((0.6, 0.9, 1.0)))
def test_no_damage_is_cut_off_by_its_region(painter, canvas_double, box, shape, fill):
    """It ends inside, or where the picture does."""
    canvas_double.shape = shape
    canvas = PaintedImage.over(picture())
    (result,) = painter.paint([request(canvas, damage(box, fill=fill))])
    there, rim = canvas.mask[result.box.slices] > 0, result.box
    assert rim.top == 0 or not there[0].any()
    assert rim.left == 0 or not there[:, 0].any()
    assert rim.bottom == 70 or not there[-1].any()
    assert rim.right == 90 or not there[:, -1].any()


def test_where_says_which_pixels_of_the_box_may_change(painter):
    canvas, box = PaintedImage.over(picture()), Box(10, 10, 60, 50)
    where = np.zeros(box.size, bool)
    where[6:44, 8:52] = True
    where[10:14, 10:16] = False  # a hole beside the damage
    (result,) = painter.paint([request(canvas, damage(box, fill=0.3, where=where))])
    assert result.growths == 0 and (canvas.mask > 0).any()
    assert_kept(canvas, PaintedImage.over(picture()), outside(box, (70, 90), where))
    changed = canvas.confidence != 255
    np.testing.assert_array_equal(changed[box.slices], where)


def test_damage_that_where_would_cut_off_takes_the_whole_box_and_more(painter, canvas_double):
    canvas_double.shape = blob(20)
    canvas, box = PaintedImage.over(picture()), Box(30, 20, 30, 30)
    where = np.zeros(box.size, bool)
    where[9:21, 9:21] = True
    (result,) = painter.paint([request(canvas, damage(box, fill=0.5, where=where))])
    assert result.growths == 1 and result.painted is not None and result.box.overlap(box) == box.area
    grown = (canvas.mask > 0)[box.slices]
    assert grown[~where].any(), "what was to stay is given up before the damage is"


def test_two_damages_lie_in_one_picture(painter):
    canvas = PaintedImage.over(picture())
    one, other = Box(4, 4, 36, 32), Box(48, 30, 38, 36)
    painter.paint([request(canvas, damage(one))])
    between = PaintedImage(canvas.image.copy(), canvas.mask.copy(), canvas.confidence.copy())
    painter.paint([request(canvas, damage(other, class_id=MOLD), attempt=1)])
    assert_kept(canvas, between, outside(other, (70, 90)))
    assert (canvas.mask[one.slices] == STAIN).any() and (canvas.mask[other.slices] == MOLD).any()


def test_a_second_damage_is_painted_on_the_first(painter, canvas_double):
    """What it sees is the picture as it is by then."""
    canvas, box = PaintedImage.over(picture(32, 32)), Box(0, 0, 32, 32)
    painter.paint([request(canvas, damage(box))])
    painted = canvas.image.copy()
    painter.paint([request(canvas, damage(box, class_id=MOLD), attempt=1)])
    seen = canvas_double.decode([canvas_double.asked[-1][0].known.latent])[0].image
    np.testing.assert_array_equal(seen, painted)  # a picture of the window's size is seen as it is


# PlannedDamage that would be cut off


def test_damage_larger_than_its_region_grows_it_until_there_is_room(painter, canvas_double):
    canvas_double.shape = blob(14)
    canvas, box = PaintedImage.over(picture()), Box(40, 30, 10, 10)
    (result,) = painter.paint([request(canvas, damage(box, fill=1))])
    # Ten pixels hold no square of fourteen, and a region grows by eight at least.
    assert result.growths == 1 and result.painted is not None and result.box == box.grown(8)
    assert (canvas.mask == STAIN).sum() >= 12 * 12
    assert_kept(canvas, PaintedImage.over(picture()), outside(result.box, (70, 90)))


def test_damage_that_is_always_cut_off_is_not_painted_at_all(painter, canvas_double, monkeypatch):
    monkeypatch.setattr("wetgen.runtime.inpaint.painter._touches_edge", lambda *_: True)
    canvas, box = PaintedImage.over(picture(200, 300)), Box(140, 90, 12, 12)
    (result,) = painter.paint([request(canvas, damage(box))])
    assert result.painted is None
    assert result.growths == GROWTHS and len(canvas_double.asked) == GROWTHS + 1
    assert result.box.inside((200, 300)) and result.box.area > box.area
    assert_kept(canvas, PaintedImage.over(picture(200, 300)), np.ones((200, 300), bool))


def test_where_the_picture_ends_nothing_is_cut_off(painter, canvas_double):
    canvas_double.shape = everything
    canvas, whole = PaintedImage.over(picture()), Box(0, 0, 90, 70)
    (result,) = painter.paint([request(canvas, damage(whole, fill=1))])
    assert result.painted is not None and result.growths == 0
    assert (canvas.mask == STAIN).all() and result.painted.all()


@pytest.mark.parametrize(
    "box", [Box(0, 60, 300, 140), Box(60, 0, 240, 200), Box(0, 0, 300, 140), Box(0, 0, 240, 200)], ids=str
)
def test_each_side_that_is_not_the_pictures_edge_cuts_off(painter, canvas_double, box):
    """The region reaches three of the picture's edges, and damage lies on the fourth."""
    canvas_double.shape = everything
    (result,) = painter.paint([request(PaintedImage.over(picture(200, 300)), damage(box, fill=1))])
    assert result.growths >= 1


@pytest.mark.parametrize(
    ("box", "edge"),
    [
        (Box(130, 0, 40, 40), np.s_[0, :]),
        (Box(0, 80, 40, 40), np.s_[:, 0]),
        (Box(130, 160, 40, 40), np.s_[-1, :]),
        (Box(260, 80, 40, 40), np.s_[:, -1]),
    ],
    ids=["top", "left", "bottom", "right"],
)
def test_damage_may_lie_on_each_edge_of_the_picture(painter, box, edge):
    mask = np.zeros((40, 40), np.uint8)
    mask[12:28, 12:28] = STAIN
    mask[{0: np.s_[:28, 12:28], 160: np.s_[12:, 12:28]}.get(box.top, np.s_[12:28, 12:28])] = STAIN
    mask[{0: np.s_[12:28, :28], 260: np.s_[12:28, 12:]}.get(box.left, np.s_[12:28, 12:28])] = STAIN
    canvas = PaintedImage.over(picture(200, 300))
    (result,) = painter.paint([request(canvas, PlannedDamage("stain", "a stain", box, mask))])
    assert result.growths == 0 and result.painted is not None and (canvas.mask[edge] == STAIN).any()


def test_a_region_that_fills_the_picture_is_freed_where_it_was_not(painter, canvas_double):
    """Its box cannot grow, but the pixels that were to stay can be given up before the damage is."""
    canvas_double.shape = everything
    where = np.zeros((70, 90), bool)
    where[20:50, 20:60] = True
    canvas = PaintedImage.over(picture())
    (result,) = painter.paint([request(canvas, damage(Box(0, 0, 90, 70), fill=1, where=where))])
    assert result.painted is not None and result.growths == 1 and (canvas.mask == STAIN).all()


def test_a_result_says_which_pixels_became_damage(painter):
    canvas, box = PaintedImage.over(picture()), Box(20, 16, 40, 32)
    (result,) = painter.paint([request(canvas, damage(box))])
    np.testing.assert_array_equal(result.painted, canvas.mask[box.slices] == STAIN)
    assert result.painted.any() and not result.painted.all()


def test_requests_that_are_whole_are_painted_once_while_others_grow(painter, canvas_double):
    small, large = PaintedImage.over(picture()), PaintedImage.over(picture(seed=1))
    canvas_double.shape = blob(14)
    results = painter.paint(
        [
            request(large, damage(Box(30, 20, 30, 30)), number=1),
            request(small, damage(Box(40, 30, 10, 10), fill=1)),
        ]
    )
    assert [result.growths for result in results] == [0, 1]
    assert [len(asked) for asked in canvas_double.asked] == [2, 1]


# What the denoiser is told


def test_the_denoiser_is_told_prompt_layout_noise_and_what_is_known(painter, canvas_double, bundle):
    canvas, box = PaintedImage.over(picture(32, 32)), Box(8, 8, 16, 16)
    params = SamplingParams("four", 2.5, "dry")
    what = InpaintRequest(canvas, damage(box, fill=0.5), SampleInputs("a stain", 7, 5, params, 9))
    painter.paint([what])
    ((wanted,),) = canvas_double.asked
    assert (wanted.prompt, wanted.params) == ("a stain", params)
    assert (wanted.seed, wanted.number, wanted.attempt) == (7, 5, 9)
    known = np.ones((8, 8), np.float32)
    known[2:6, 2:6] = 0
    np.testing.assert_array_equal(wanted.known.where, known)
    np.testing.assert_array_equal(wanted.layout.argmax(0), STAIN * np.isin(np.indices((8, 8)), (3, 4)).all(0))
    noise = starting_noise(7, 5, (bundle.sizes.latent_channels, 8, 8), 9)
    np.testing.assert_array_equal(wanted.noise(bundle.sizes), noise)
    assert canvas_double.alphas == [bundle.alphas_after(bundle.plan(None))]


def test_a_growing_request_keeps_its_noise_and_its_layout(painter, canvas_double):
    canvas_double.shape = everything
    inputs = SampleInputs("a stain", 7, 5, PARAMS, 9)
    painter.paint([InpaintRequest(PaintedImage.over(picture(200, 300)), damage(Box(140, 90, 12, 12), fill=1), inputs)])
    told = [asked[0] for asked in canvas_double.asked]
    assert {(each.seed, each.number, each.attempt, each.prompt) for each in told} == {(7, 5, 9, "a stain")}
    assert len(told) > 1 and all(each.layout[STAIN].any() and not each.layout[MOLD].any() for each in told)


def test_the_result_of_a_request_does_not_depend_on_its_company(painter, canvas_double):
    canvas_double.shape = blob(14)

    fill = 0.9

    def painted(numbers: list[int]) -> dict[int, tuple]:
        canvases = {number: PaintedImage.over(picture(seed=number)) for number in numbers}
        requests = [
            request(canvases[number], damage(Box(10 + 9 * number, 20, 10 + 6 * number, 20), fill=fill), number=number)
            for number in numbers
        ]
        results = dict(zip(numbers, painter.paint(requests), strict=True))
        return {n: (results[n], c.image.tobytes(), c.mask.tobytes()) for n, c in canvases.items()}

    together = painted([0, 1, 2, 3])
    assert painted([3, 1]) == {number: together[number] for number in (3, 1)}
    assert len({bytes_ for _, bytes_, _ in together.values()}) == 4
    assert {result.growths for result, _, _ in together.values()} == {0, 1}, "some grew, others did not"


def test_with_the_networks_a_request_is_the_same_alone_and_in_company(bundle):
    """Batches are filled up, so that all of them run the same arithmetic."""
    images = {}
    for numbers in ([0, 1, 2], [2], [1, 0]):
        painter = Painter(Generator(bundle, batch=2, threads=1), bundle.plan("two"))
        canvases = [PaintedImage.over(picture(32, 40, seed=number)) for number in numbers]
        requests = [
            request(canvas, damage(Box(0, 0, 40, 32)), number=number)
            for canvas, number in zip(canvases, numbers, strict=True)
        ]
        painter.paint(requests)
        for number, canvas in zip(numbers, canvases, strict=True):
            images.setdefault(number, []).append(canvas.image.tobytes())
            assert canvas.image.tobytes() != picture(32, 40, seed=number).tobytes()
    assert [len(set(each)) for each in images.values()] == [1, 1, 1]


def test_nothing_to_paint_paints_nothing(painter, canvas_double):
    assert painter.paint([]) == [] and canvas_double.asked == []


def test_a_bundle_of_images_only_cannot_paint(tiny, images_only_folder):
    from wetgen.runtime.bundle.bundle import Bundle

    bundle = Bundle.open(images_only_folder)
    with pytest.raises(WetgenError, match="takes no layouts"):
        Painter(Generator(bundle, threads=1), bundle.plan(None))


def test_a_bundle_that_does_not_state_its_schedule_cannot_paint(bundle):
    from dataclasses import replace

    old = replace(bundle, info={key: value for key, value in bundle.info.items() if key != "schedule"})
    with pytest.raises(WetgenError, match="does not state its noise schedule"):
        Painter(Generator(old, threads=1), old.plan(None))
