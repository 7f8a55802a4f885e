"""Writing beside the drawing: in order, and never more waiting than fits into memory, whatever the size of the
pictures."""

import itertools
import threading
import time
from contextlib import suppress

import numpy as np
import pytest

from wetgen.runtime.dataset.writer import BackgroundWriter, Prepared
from wetgen.runtime.errors import WetgenError


class Held:
    """A folder that writes a pair when it is let, and no earlier."""

    def __init__(self):
        self.let, self.written = threading.Semaphore(0), []

    def prepare(self, name, image, mask, row, confidence):
        return Prepared(name, {}, row, b"")

    def write(self, pair):
        assert self.let.acquire(timeout=60), "nobody waits for this pair"
        self.written.append(int(pair.name))


def hand_over(background, number, pixels=1):
    background.put(str(number), np.zeros((1, pixels, 3), np.uint8), None, {}, None)


@pytest.fixture
def put(monkeypatch):
    """Hands over a picture of so many pixels; gives which pairs it had to wait for.

    A pair is written when it is waited for, so that what is written tells who was.
    """
    monkeypatch.setattr("wetgen.runtime.dataset.writer._MOST_PIXELS", 100)
    folder, tell = Held(), BackgroundWriter._tell

    def let_and_tell(background):
        folder.let.release()
        tell(background)

    monkeypatch.setattr(BackgroundWriter, "_tell", let_and_tell)

    def put(pixels):
        before = len(folder.written)
        hand_over(background, next(numbers), pixels)
        return folder.written[before:]

    numbers = itertools.count()
    background = BackgroundWriter(folder, lambda pair: None)
    yield put
    background.close()
    assert folder.written == list(range(next(numbers)))


def test_pictures_wait_until_they_are_too_many_pixels(put):
    assert [put(30) for _ in range(6)] == [[], [], [], [0], [1], [2]]


def test_a_picture_larger_than_all_that_may_wait_waits_alone(put):
    assert [put(1000), put(1), put(1), put(1000), put(1)] == [[], [0], [], [1, 2], [3]]


def test_small_pictures_are_counted_one_by_one(put, monkeypatch):
    monkeypatch.setattr("wetgen.runtime.dataset.writer.WAITING", 2)
    assert [put(1) for _ in range(4)] == [[], [], [0], [1]]


def test_a_failure_is_raised_by_the_next_pair_that_waits_for_it():
    class Full(Held):
        def write(self, pair):
            raise WetgenError("The disk is full.", why="", fix="")

    background = BackgroundWriter(Full(), lambda pair: None)
    with pytest.raises(WetgenError, match="disk is full"):
        for number in range(200):
            hand_over(background, number)
    with suppress(WetgenError):  # whatever waits fails as well
        background.close()


def test_pairs_are_written_and_told_in_their_order_and_wait_for_a_slow_disk(monkeypatch):
    """No more than a fixed number of pairs wait in memory."""
    monkeypatch.setattr("wetgen.runtime.dataset.writer.WAITING", 3)
    waiting, most, written, told = [], [], [], []

    class Slow(Held):
        def prepare(self, name, *rest):
            time.sleep(0.001 * (int(name) % 3))  # encoders overtake one another
            return super().prepare(name, *rest)

        def write(self, pair):
            most.append(len(waiting))
            waiting.remove(int(pair.name))
            written.append(int(pair.name))

    background = BackgroundWriter(Slow(), lambda pair: told.append(int(pair.name)))
    for number in range(50):
        waiting.append(number)
        hand_over(background, number)
    background.close()
    assert not waiting and max(most) <= 5
    assert written == told == list(range(50))
