"""The random fields: of unit deviation, and the same whatever they are sampled at."""

import numpy as np
import pytest

pytest.importorskip("scipy")

from wetgen.training.scenes.noise import blob, fractal, line, nearest, ramp, shift, slopes, texture


def _rng(seed: int = 1) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed))


@pytest.mark.parametrize("slope", [0.8, 1.6, 2.2])
def test_a_fractal_is_the_same_field_at_every_size(slope: float) -> None:
    """Exactly, up to float32: 96 pixels resolve all of its 40 cycles, so every second of 192 samples is among them."""
    small, large = fractal(_rng(), 96, slope), fractal(_rng(), 192, slope)
    np.testing.assert_allclose(small, large[::2, ::2], atol=2e-5)


def test_a_line_is_the_same_at_every_size() -> None:
    np.testing.assert_allclose(line(_rng(), 336), line(_rng(), 672)[::2], atol=1e-5)


def test_a_texture_is_moved_by_the_same_share_at_every_size() -> None:
    small, large = texture(_rng(), 384), texture(_rng(), 768)
    np.testing.assert_allclose(small, large[::2, ::2], atol=2e-5)


@pytest.mark.parametrize("field", [fractal(_rng(), 128), texture(_rng(), 384), line(_rng(), 512)])
def test_noise_has_mean_0_and_deviation_1(field: np.ndarray) -> None:
    assert abs(field.mean()) < 1e-5
    np.testing.assert_allclose(field.std(), 1, rtol=0.1)  # the power of frequencies (0, fy) is estimated


def test_the_band_is_kept() -> None:
    """Noise of 8 to 16 cycles has most of its power there; the band falls off with the fourth power."""
    power = np.abs(np.fft.fft2(fractal(_rng(), 128, 0.0, low=8, high=16))) ** 2
    f = np.hypot(*np.meshgrid(*[np.fft.fftfreq(128, 1 / 128)] * 2))
    assert power[(f > 6) & (f < 21)].sum() > 0.85 * power.sum()


def test_ramp_rises_between_its_ends_and_falls_when_they_are_swapped() -> None:
    x = np.linspace(-1, 2, 7, dtype=np.float32)
    np.testing.assert_allclose(ramp(x, 0, 1), [0, 0, 0, 0.5, 1, 1, 1])
    np.testing.assert_allclose(ramp(x, 1, 0), 1 - ramp(x, 0, 1))


def test_nearest_by_brute_force() -> None:
    points = _rng().random((7, 2))
    owner, distance = nearest(points, 24)
    pixels = np.clip((points * 24).astype(int), 0, 23)
    v, u = np.indices((24, 24))
    away = np.hypot(u[..., None] - pixels[:, 0], v[..., None] - pixels[:, 1])
    np.testing.assert_allclose(distance * 24, away.min(-1), atol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(away, owner[..., None], -1)[..., 0], away.min(-1), atol=1e-9)


def test_slopes_of_a_plane_and_shift_of_a_point() -> None:
    v, u = np.indices((16, 16)) / np.float32(16)
    across, down = slopes(2 * u - 3 * v)
    np.testing.assert_allclose(across, 2, atol=1e-5)
    np.testing.assert_allclose(down, -3, atol=1e-5)
    point = np.zeros((16, 16), np.float32)
    point[4, 4] = 1
    assert shift(point, 2 / 16, 1 / 16)[5, 6] == 1


def test_a_smooth_blob_is_an_ellipse() -> None:
    field = blob(_rng(), 64, (0.5, 0.5), (0.4, 0.2), rough=0.0)
    np.testing.assert_allclose((field > 0).mean(), np.pi * 0.4 * 0.2, rtol=0.02)
