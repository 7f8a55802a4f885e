"""Figures of masks against shapes whose figures are known."""

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.masks.classes import IGNORE, SHARES, TYPICAL, ClassStatistics, ClassTable, statistics_from_json
from wetgen.training.mask_statistics import measure, perimeter, read_statistics, to_json

TABLE = ClassTable(("background", "crack", "stain", "moss"))
N = 200
Y, X = np.mgrid[:N, :N] + 0.5


def one(where: np.ndarray, class_id: int = 1) -> ClassStatistics:
    return measure([np.where(where, class_id, 0).astype(np.uint8)], TABLE)[TABLE.names[class_id]]


def ellipse(long: float, short: float, degrees: float) -> np.ndarray:
    """Half axes in pixels, the long one turned from the horizontal, rising to the right."""
    turn = math.radians(degrees)
    along, across = (
        (X - N / 2) * math.cos(turn) - (Y - N / 2) * math.sin(turn),
        (X - N / 2) * math.sin(turn) + (Y - N / 2) * math.cos(turn),
    )
    return (along / long) ** 2 + (across / short) ** 2 < 1


def test_a_disc_is_round_smooth_and_as_thick_as_its_radius():
    figures = one(ellipse(50, 50, 0))
    assert figures.pairs == 1 and figures.regions == (1,) * 5
    np.testing.assert_allclose(figures.area, math.pi * 50**2 / N**2, rtol=0.01)  # pixels along the rim
    np.testing.assert_allclose(figures.elongation, 1, rtol=0.01)
    np.testing.assert_allclose(figures.roughness, 1, rtol=0.02)
    np.testing.assert_allclose(figures.thickness, 50 / N, rtol=0.02)  # 2 pi r^2 / (2 pi r)
    np.testing.assert_allclose(figures.height, 0.5, atol=0.005)


@pytest.mark.parametrize("degrees", [0, 30, 60, 90, 120, 150])
def test_an_ellipse_has_the_ratio_and_the_slope_of_its_axes(degrees):
    figures = one(ellipse(70, 20, degrees))
    np.testing.assert_allclose(figures.elongation, 3.5, rtol=0.02)
    slope = min(degrees, 180 - degrees)  # left and right count alike
    np.testing.assert_allclose(figures.orientation, slope, atol=1)


@pytest.mark.parametrize("degrees", [0, 45, 90, 20])
def test_a_bar_is_as_thick_as_it_is_in_any_direction(degrees):
    turn = math.radians(degrees)
    along = (X - N / 2) * math.cos(turn) + (Y - N / 2) * math.sin(turn)
    across = (Y - N / 2) * math.cos(turn) - (X - N / 2) * math.sin(turn)
    figures = one((abs(along) < 80) & (abs(across) < 4))
    # 2 * 160 * 8 / (2 * 168) = 7.62, and four directions see a straight line up to 5 % too short
    np.testing.assert_allclose(np.array(figures.thickness) * N, 7.62, rtol=0.06)


def test_a_perimeter_counts_holes():
    square = np.zeros((60, 60), bool)
    square[10:50, 10:50] = True
    outer = perimeter(square)
    np.testing.assert_allclose(outer, 160, rtol=0.06)  # Crofton's error along the axes is 5 %
    square[20:40, 20:40] = False
    np.testing.assert_allclose(perimeter(square), outer * 1.5, rtol=0.01)


def test_a_single_pixel_is_round_and_has_no_direction():
    where = np.zeros((N, N), bool)
    where[20, 30] = True
    figures = one(where)
    assert figures.elongation == (1,) * 5 and figures.area[0] == 1 / N**2
    assert figures.height[2] == pytest.approx(20.5 / N)


def test_specks_are_no_regions_and_do_not_outvote_the_patch():
    where = ellipse(60, 20, 0)
    where[5:195:10, 5] = True  # 19 round specks beside one long ellipse
    figures = one(where)
    assert figures.regions == (1,) * 5
    assert figures.elongation[1] > 2.9, "a quarter of the weight is far more than the specks have"


def test_quantiles_over_masks_are_those_of_the_areas():
    masks = []
    for pixels in (100, 200, 300, 400, 500, 600, 700, 800, 900):
        mask = np.zeros((100, 100), np.uint8)
        mask.ravel()[:pixels] = 2
        masks.append(mask)
    figures = measure(masks, TABLE)["stain"]
    assert figures.pairs == 9
    # Each of nine masks stands for a ninth, so the lowest lies at 1/18: quantiles 5 and 95 % are the outermost.
    np.testing.assert_allclose(figures.area, [0.01, 0.0275, 0.05, 0.0725, 0.09], rtol=1e-9)
    assert figures.largest == figures.area


def test_classes_are_measured_each_by_itself_and_absent_ones_are_absent():
    mask = np.zeros((50, 50), np.uint8)
    mask[:10], mask[40:, :5] = 1, 2
    found = measure([mask, np.zeros((50, 50), np.uint8)], TABLE)
    assert list(found) == ["crack", "stain"]
    assert found["crack"].pairs == 1 and found["crack"].area[2] == 0.2 and found["crack"].height[2] == 0.1


def test_ignored_pixels_count_as_no_class_and_unknown_ids_are_refused():
    mask = np.zeros((20, 20), np.uint8)
    mask[:5], mask[10:] = 1, IGNORE
    assert list(measure([mask], TABLE)) == ["crack"]
    mask[0, 0] = 7
    with pytest.raises(WetgenError, match="class id 7"):
        measure([mask], TABLE)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=4))
def test_any_masks_give_figures_that_survive_json(bits):
    masks = [np.unpackbits(np.array([word], np.uint64).view(np.uint8)).reshape(8, 8) for word in bits]
    found = measure(masks, TABLE)
    again = statistics_from_json(json.loads(json.dumps(to_json(found))), TABLE)
    assert again.keys() == found.keys()
    for name, figures in found.items():
        for field in dataclasses.fields(figures):
            np.testing.assert_allclose(getattr(again[name], field.name), getattr(figures, field.name), rtol=5e-4)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.pop("area"),
        lambda data: data.update(colour=[1] * 5),
        lambda data: data.update(pairs=0),
        lambda data: data["area"].reverse(),
        lambda data: data.update(area=[0.1, 0.2, 0.3, 0.4]),
        lambda data: data.update(area=[0.1, 0.2, 0.3, 0.4, 1.5]),
        lambda data: data.update(elongation=[0.5, 1, 1, 1, 1]),
        lambda data: data.update(area=[math.nan] * 5),
        lambda data: data.update(height="12345"),
    ],
)
def test_figures_that_no_mask_can_have_are_refused(change):
    data = json.loads(json.dumps(TYPICAL.to_json()))
    change(data)
    with pytest.raises(ValueError):
        ClassStatistics.from_json(data)


def test_statistics_of_a_class_that_the_table_lacks_are_refused(tmp_path):
    data = {"stain": TYPICAL.to_json(), "lichen": TYPICAL.to_json()}
    with pytest.raises(ValueError, match="lichen"):
        statistics_from_json(data, TABLE)
    (tmp_path / "s.json").write_text(json.dumps(data))
    with pytest.raises(WetgenError, match=r"s\.json cannot be read"):
        read_statistics(tmp_path / "s.json", TABLE)


def test_drawn_values_spread_as_the_quantiles_do():
    rng = np.random.default_rng(0)
    values = [TYPICAL.drawn("area", rng) for _ in range(4000)]
    within = (np.array(SHARES[1:-1]) - SHARES[0]) / (SHARES[-1] - SHARES[0])
    # 4,000 draws put a quantile's rank within 3 standard deviations of 0.8 %.
    ranks = [np.mean(np.array(values) < TYPICAL.area[place]) for place in (1, 2, 3)]
    np.testing.assert_allclose(ranks, within, atol=0.025)
    assert TYPICAL.area[0] <= min(values) and max(values) <= TYPICAL.area[-1]
