"""Storing beside sampling: never more waiting than fits into memory, whatever the size of the pictures."""

import itertools
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.run.filters import Verdict
from wetgen.runtime.run.folder import Rejection
from wetgen.runtime.run.progress import SilentProgress
from wetgen.runtime.run.run import BackgroundWriter

KEEP = Verdict({}, {})


class Held:
    """A folder that writes a pair when it is let, and no earlier."""

    def __init__(self):
        self.let, self.written = threading.Semaphore(0), []

    def prepare(self, pair, verdict, given_up):
        return Rejection(pair.index, {"index": pair.index}, given_up)

    def write(self, ready):
        assert self.let.acquire(timeout=60), "nobody waits for this pair"
        self.written.append(ready.index)


@pytest.fixture
def put(monkeypatch):
    """Hands over a picture of so many pixels; gives which pairs it had to wait for.

    A pair is written when it is waited for, so that what is written tells who was.
    """
    monkeypatch.setattr("wetgen.runtime.run.run._MOST_PIXELS", 100)
    folder, tell = Held(), BackgroundWriter._tell

    def let_and_tell(storing, written):
        folder.let.release()
        tell(storing, written)

    monkeypatch.setattr(BackgroundWriter, "_tell", let_and_tell)

    def put(pixels):
        before = len(folder.written)
        pair = SimpleNamespace(index=next(numbers), image=np.zeros((1, pixels, 3), np.uint8))
        storing.put(pair, KEEP, False)
        return folder.written[before:]

    numbers = itertools.count()
    with BackgroundWriter(folder, SilentProgress()) as storing:
        yield put
    assert folder.written == list(range(next(numbers)))


def test_pictures_wait_until_they_are_too_many_pixels(put):
    assert [put(30) for _ in range(6)] == [[], [], [], [0], [1], [2]]


def test_a_picture_larger_than_all_that_may_wait_waits_alone(put):
    assert [put(1000), put(1), put(1), put(1000), put(1)] == [[], [0], [], [1, 2], [3]]


def test_small_pictures_are_counted_one_by_one(put, monkeypatch):
    monkeypatch.setattr("wetgen.runtime.run.run.WAITING", 2)
    assert [put(1) for _ in range(4)] == [[], [], [0], [1]]


def test_a_failure_is_raised_by_the_next_pair_that_waits_for_it(monkeypatch):
    class Full(Held):
        def write(self, ready):
            raise WetgenError("The disk is full.", why="", fix="")

    with pytest.raises(WetgenError, match="disk is full"), BackgroundWriter(Full(), SilentProgress()) as storing:
        for number in range(200):
            storing.put(SimpleNamespace(index=number, image=np.zeros((1, 1, 3), np.uint8)), KEEP, False)
