"""The PNG encoder: the standard's own definitions, and what Pillow reads back."""

import zlib
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from wetgen.runtime.masks import images
from wetgen.runtime.masks.images import encode_mask, encode_png

SHAPES = st.one_of(
    st.tuples(st.integers(1, 9), st.integers(1, 9)), st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))
)
PICTURES = SHAPES.flatmap(lambda shape: arrays(np.uint8, shape))


def paeth(a: int, b: int, c: int) -> int:
    """The predictor as the standard prints it (section 9.4): a left, b above, c upper left."""
    p = a + b - c
    pa, pb, pc = abs(p - a), abs(p - b), abs(p - c)
    if pa <= pb and pa <= pc:
        return a
    return b if pb <= pc else c


def stored(file: bytes) -> bytes:
    """The filtered rows in a file's one IDAT chunk."""
    start = file.index(b"IDAT") + 4
    return zlib.decompress(file[start : start + int.from_bytes(file[start - 8 : start - 4], "big")])


def read(file: bytes) -> np.ndarray:
    Image.open(BytesIO(file)).verify()  # checks every chunk's checksum
    with Image.open(BytesIO(file)) as picture:
        return np.array(picture)


@given(pixels=PICTURES, encode=st.sampled_from([encode_mask, encode_png]))
def test_pillow_reads_the_same_pixels(pixels, encode):
    np.testing.assert_array_equal(read(encode(pixels)), pixels)


@given(pixels=PICTURES)
def test_the_filter_is_the_standards(pixels):
    """Every stored byte is the pixel's less the prediction from its three neighbours, 0 beyond the edges."""
    height, width = pixels.shape[:2]
    layers = pixels.reshape(height, width, -1).astype(int)
    rows = np.frombuffer(stored(encode_png(pixels)), np.uint8).reshape(height, -1)
    assert (rows[:, 0] == 4).all()
    padded = np.pad(layers, ((1, 0), (1, 0), (0, 0)))
    expected = [
        (layers[y, x, k] - paeth(padded[y + 1, x, k], padded[y, x + 1, k], padded[y, x, k])) % 256
        for y, x, k in np.ndindex(layers.shape)
    ]
    np.testing.assert_array_equal(rows[:, 1:].ravel(), expected)


def test_all_distances_are_weighed_as_the_standard_does():
    """Left, above and upper left at all their steps of 5, and at the ends, each as a picture of 2 x 2."""
    steps = [0, 1, 2, *range(5, 251, 5), 253, 254, 255]
    for c in steps:
        a, b = (grid.ravel() for grid in np.meshgrid(steps, steps))
        # A row of pictures side by side: c b above, a x below, and a column of nothing that is not looked at.
        pixels = np.zeros((2, 2 * len(a)), np.uint8)
        pixels[0, ::2], pixels[0, 1::2], pixels[1, ::2] = c, b, a
        rows = np.frombuffer(stored(encode_png(pixels)), np.uint8).reshape(2, -1)
        predicted = -rows[1, 2::2].astype(int) % 256
        assert predicted.tolist() == [paeth(*three) for three in zip(a.tolist(), b.tolist(), [c] * len(a), strict=True)]


@pytest.mark.parametrize("shape", [(300, 91, 3), (70_000, 1), (1, 70_000), (2, 40_000, 3)])
def test_large_pictures_are_filtered_band_by_band(shape):
    """Bands are 64 KiB; the first row of one is predicted from the last of the band before."""
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    np.testing.assert_array_equal(read(encode_png(pixels)), pixels)
    one_band = np.frombuffer(stored(encode_png(pixels)), np.uint8).reshape(shape[0], -1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(images, "_BAND", 10**9)
        again = np.frombuffer(stored(encode_png(pixels)), np.uint8).reshape(shape[0], -1)
    np.testing.assert_array_equal(one_band, again)


def chunks(file: bytes) -> list[tuple[bytes, bytes]]:
    """Type and data of every chunk, its checksum checked, as the standard lays them out (section 5.3)."""
    assert file[:8] == bytes([137, 80, 78, 71, 13, 10, 26, 10])
    found, at = [], 8
    while at < len(file):
        length = int.from_bytes(file[at : at + 4], "big")
        kind, data = file[at + 4 : at + 8], file[at + 8 : at + 8 + length]
        assert int.from_bytes(file[at + 8 + length : at + 12 + length], "big") == zlib.crc32(kind + data)
        found.append((kind, data))
        at += 12 + length
    assert at == len(file)
    return found


KEYWORDS = st.from_regex(r"[!-~\xa1-\xff]{1,39}( [!-~\xa1-\xff]{1,38})?", fullmatch=True)
LETTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
TEXTS = st.dictionaries(KEYWORDS, st.text(LETTERS), max_size=4)


@given(pixels=PICTURES, encode=st.sampled_from([encode_mask, encode_png]), texts=TEXTS)
def test_texts_are_read_back_and_change_nothing_else(pixels, encode, texts):
    file, bare = encode(pixels, texts), encode(pixels)
    np.testing.assert_array_equal(read(file), pixels)
    with Image.open(BytesIO(file)) as picture:
        assert picture.text == texts and list(picture.text) == list(texts)
    parts = chunks(file)
    assert [part for part in parts if part[0] not in (b"tEXt", b"iTXt")] == chunks(bare)
    assert [kind for kind, _ in parts] == [
        b"IHDR",
        *(b"tEXt" if (keyword + text).isascii() else b"iTXt" for keyword, text in texts.items()),
        b"IDAT",
        b"IEND",
    ]


def test_text_chunks_are_laid_out_as_the_standard_prints_them():
    parts = chunks(encode_mask(np.zeros((1, 1), np.uint8), {"seed": "7", "prompt": "Nässe"}))
    assert parts[1] == (b"tEXt", b"seed\x007")
    # Keyword, NUL, not compressed, method 0, no language, no translated keyword, UTF-8.
    assert parts[2] == (b"iTXt", b"prompt\0" + b"\0" + b"\0" + b"\0" + b"\0" + b"N\xc3\xa4sse")


def test_without_text_a_file_has_the_bytes_that_it_always_had():
    assert encode_mask(np.array([[0, 1, 2], [3, 3, 200]], np.uint8)).hex() == (
        "89504e470d0a1a0a0000000d4948445200000003000000020800000000b81f39c6"
        "00000010494441547801636060646260663e010000ef00d24f39f1d80000000049454e44ae426082"
    )
    assert encode_png(np.array([[[10, 20, 30], [11, 22, 33]]], np.uint8)).hex() == (
        "89504e470d0a1a0a0000000d49484452000000020000000108020000007b40e8dd"
        "0000000f49444154780163e112916364620600014500470fa4f4b30000000049454e44ae426082"
    )


@pytest.mark.parametrize("keyword", ["", "k" * 80, " a", "a ", "a  b", "a\nb", "a\xa0b", "\u20ac"])
def test_what_is_no_keyword_is_refused(keyword):
    with pytest.raises(ValueError, match="is no keyword"):
        encode_mask(np.zeros((1, 1), np.uint8), {keyword: "text"})


def test_the_longest_keyword_is_taken_and_a_nul_in_a_text_is_not():
    pixels = np.zeros((1, 1), np.uint8)
    assert chunks(encode_png(pixels, {"k" * 79: ""}))[1] == (b"tEXt", b"k" * 79 + b"\0")
    with pytest.raises(ValueError, match="holds a NUL"):
        encode_png(pixels, {"prompt": "a\0b"})


def test_views_of_other_arrays_are_encoded_as_they_look():
    pixels = np.random.default_rng(0).integers(0, 256, (8, 9, 4), np.uint8)
    np.testing.assert_array_equal(read(encode_png(pixels[::2, ::-1, :3])), pixels[::2, ::-1, :3])
    np.testing.assert_array_equal(read(encode_mask(pixels[..., 1])), pixels[..., 1])


def test_even_areas_take_next_to_nothing():
    """No Huffman code takes less than a bit a byte; runs do."""
    assert len(encode_png(np.full((128, 128, 3), 200, np.uint8))) < 500
    assert len(encode_mask(np.ones((128, 128), np.uint8))) < 500


@pytest.mark.parametrize("pixels", [np.zeros((2, 2)), np.zeros((2, 2, 4), np.uint8), np.zeros((0, 2), np.uint8)])
def test_what_is_no_picture_is_a_bug(pixels):
    with pytest.raises(AssertionError):
        encode_png(pixels)
