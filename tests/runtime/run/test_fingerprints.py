"""Copies of training pictures are recognised, whatever light and side they come in; other pictures are not."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wetgen.runtime.bundle.bundle import FingerprintFile
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.run.fingerprints import BITS, BYTES, KIND, Fingerprints, distances, fingerprint

GOLDEN = Path(__file__).parents[2] / "golden" / "fingerprints.json"
MOST_BITS = 24


def walls(count: int, size: int, seed: int) -> np.ndarray:
    """Pictures with the spectrum of photographs, amplitude 1 / f, uint8 (N, S, S, 3)."""
    rng = np.random.default_rng(seed)
    frequency = np.fft.fftfreq(size) * size
    fall = 1 / np.maximum(np.hypot(frequency[:, None], frequency), 1)
    grey = np.fft.ifft2(np.fft.fft2(rng.standard_normal((count, size, size))) * fall).real
    grey = 120 + 30 * grey / grey.std((1, 2), keepdims=True)
    return np.clip(np.rint(grey[..., None] + [6, 0, -9]), 0, 255).astype(np.uint8)


TRAINING = walls(200, 48, seed=1)
CHECK = Fingerprints(fingerprint(TRAINING), MOST_BITS)


def copy(image: np.ndarray, noise: float = 0.0, gain: float = 1.0, shift: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(5)
    changed = image * gain + shift + 255 * noise * rng.standard_normal(image.shape)
    return np.clip(np.rint(changed), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"noise": 0.01},
        {"shift": 12},
        {"shift": -12},
        {"gain": 1.15},
        {"gain": 0.85},
        {"noise": 0.01, "gain": 1.1, "shift": -8},
    ],
)
@pytest.mark.parametrize("turned", [1, -1])
def test_a_copy_is_found_and_named(change, turned):
    for place in range(0, 200, 10):
        bits, found = CHECK.nearest(copy(TRAINING[place], **change)[:, ::turned])
        assert found == place and bits <= MOST_BITS


def test_the_picture_itself_differs_in_no_bit():
    assert [CHECK.nearest(image)[0] for image in TRAINING[:20]] == [0] * 20


def test_another_picture_is_no_copy():
    assert min(CHECK.nearest(image)[0] for image in walls(100, 48, seed=2)) > MOST_BITS


def test_brightness_and_contrast_change_nothing():
    """Halved and lifted by a whole number of levels, no byte is rounded."""
    even = TRAINING[:50] // 2 * 2
    np.testing.assert_array_equal(fingerprint(even), fingerprint(even // 2 + 60))


@pytest.mark.parametrize("height, width", [(16, 16), (48, 48), (20, 33), (5, 17)])
@pytest.mark.parametrize("down, across", [(2, 2), (3, 1), (1, 5)])
def test_a_fingerprint_follows_the_picture_at_another_size(height, width, down, across):
    """Every pixel counts by its area, also where 16 does not divide the size."""
    small = np.random.default_rng(3).integers(0, 256, (4, height, width, 3)).astype(np.uint8)
    large = np.repeat(np.repeat(small, down, axis=1), across, axis=2)
    np.testing.assert_array_equal(fingerprint(large), fingerprint(small))


def test_distances_count_bits():
    first = np.zeros((2, BYTES), np.uint8)
    first[1, 0] = 0b0000_0111
    second = np.zeros((3, BYTES), np.uint8)
    second[1] = 255
    second[2, 31] = 0b1000_0000
    assert distances(first, second).tolist() == [[0, BITS, 1], [3, BITS - 3, 4]]


@settings(max_examples=30)
@given(st.floats(0.05, np.pi - 0.05))
def test_the_share_of_differing_bits_is_the_angle(angle):
    """Charikar 2002: of random projections, angle / pi change their sign. One frequency, so that no weight matters."""
    x = np.arange(16) * 2 * np.pi * 3 / 16
    waves = [128 + 100 * np.cos(x + phase) for phase in (0, angle)]
    pictures = np.stack([np.tile(np.rint(wave).astype(np.uint8)[None, :, None], (16, 1, 3)) for wave in waves])
    bits = distances(*(fingerprint(picture[None]) for picture in pictures))[0, 0]
    share = angle / np.pi
    # five standard deviations of 256 draws, and what rounding to bytes adds
    assert abs(bits / BITS - share) < 5 * np.sqrt(share * (1 - share) / BITS) + 0.02


def test_low_frequencies_alone_do_not_decide():
    """Two walls in the same strong light from one side are no copies of each other."""
    light = np.linspace(-35, 35, 48)[:, None, None]
    lit = np.clip(walls(40, 48, seed=8) * 0.6 + 50 + light, 0, 255).astype(np.uint8)
    apart = distances(fingerprint(lit[:20]), fingerprint(lit[20:]))
    assert apart.min() > MOST_BITS


def test_golden_fingerprints(request):
    """Bundles carry fingerprints from one version to the next: a change of the method must change KIND."""
    images = (np.arange(3 * 20 * 24 * 3).reshape(3, 20, 24, 3) ** 2 // 7 % 251).astype(np.uint8)
    here = fingerprint(images)
    if request.config.getoption("--update-golden"):
        GOLDEN.write_text(json.dumps({KIND: [row.tobytes().hex() for row in here]}, indent=1) + "\n")
    ((kind, kept),) = json.loads(GOLDEN.read_text()).items()
    golden = np.stack([np.frombuffer(bytes.fromhex(row), np.uint8) for row in kept])
    # A projection that is all but 0 may change its sign with another order of sums.
    assert kind == KIND and np.unpackbits(golden ^ here, axis=1).sum(1).max() <= 1


def test_what_was_written_is_read(tmp_path):
    CHECK.write(tmp_path / "f.bin")
    assert (tmp_path / "f.bin").stat().st_size == 200 * 32
    again = Fingerprints.read(FingerprintFile(tmp_path / "f.bin", KIND, 200, 11))
    np.testing.assert_array_equal(again.hashes, CHECK.hashes)
    assert again.most_bits == 11 and len(again) == 200


@pytest.mark.parametrize("kind, count, size", [("simhash 0", 2, 64), (KIND, 2, 63), (KIND, 3, 64), (KIND, 0, 0)])
def test_fingerprints_of_another_kind_or_number_are_refused(tmp_path: Path, kind, count, size):
    (tmp_path / "f.bin").write_bytes(bytes(size))
    with pytest.raises(WetgenError, match="cannot be compared with"):
        Fingerprints.read(FingerprintFile(tmp_path / "f.bin", kind, count, 20))
