"""What a run says while it runs."""

import io
import json
from itertools import pairwise

import click

from wetgen.runtime.run.run import BarProgress, Count, JsonProgress, TextProgress, choose_progress

REJECTED = {
    "index": 4,
    "faults": [],
    "reasons": {"area": "damage covers 0.6 of the picture", "agreement": "judge and mask agree 0.1"},
}
CLEAN, FAULTY = {"index": 3, "faults": []}, {"index": 4, "faults": ["asked for mold, none in the mask"]}


class Clock:
    """Time that passes when it is told to."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_rate_and_rest_count_only_what_this_run_made():
    clock = Clock()
    count = Count(total=10, already=4, clock=clock)
    assert count.text() == "4/10 pairs"
    clock.now += 4
    count.add(CLEAN)
    count.add(FAULTY)
    assert count.text() == "6/10 pairs, 0.5 images/s, 0:00:08 left, 1 with faults"


def test_a_rejected_try_is_no_pair_done_unless_it_is_given_up():
    count = Count(total=10, already=0, clock=Clock())
    count.reject(False)
    count.reject(False)
    assert count.text() == "0/10 pairs, 2 tries rejected"
    count.reject(True)
    assert count.text() == "1/10 pairs, 3 tries rejected"


def test_hours_are_written_as_hours():
    clock = Clock()
    count = Count(total=3601, already=0, clock=clock)
    clock.now += 1.5
    count.add(CLEAN)
    assert count.text() == "1/3601 pairs, 0.667 images/s, 1:30:00 left"


def test_lines_come_from_time_to_time_and_at_the_end():
    clock, stream = Clock(), io.StringIO()
    lines = TextProgress(stream, clock)
    lines.start(40, 1)
    for _ in range(39):
        clock.now += 1
        lines.stored(CLEAN)
    said = stream.getvalue().splitlines()
    assert said[0] == "1 of 40 pairs exist; making the rest."
    assert len(said) == 5 and said[-1].startswith("40/40 pairs") and "\r" not in stream.getvalue()


def test_a_pair_that_is_given_up_is_said_at_once_and_one_that_comes_again_is_not():
    stream = io.StringIO()
    lines = TextProgress(stream, Clock())
    lines.start(9, 0)
    lines.rejected(REJECTED, given_up=False)
    assert stream.getvalue() == ""
    lines.rejected(REJECTED, given_up=True)
    assert stream.getvalue() == "Pair 4 was given up: damage covers 0.6 of the picture; judge and mask agree 0.1.\n"


def test_a_bar_is_drawn_over_itself_and_leaves_nothing_of_a_longer_line(monkeypatch):
    clock, stream = Clock(), io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: True)
    bar = BarProgress(stream, clock)
    bar.start(4, 0)
    for _ in range(4):
        clock.now += 100
        bar.stored(CLEAN)
    bar.rejected(REJECTED, given_up=False)
    bar.end({})
    drawn = click.unstyle(stream.getvalue()).split("\r")
    assert drawn[-1].endswith(", 1 try rejected\n")
    assert drawn[1].startswith("[........................] 0/4 pairs")
    assert drawn[-1].startswith("[########################] 4/4 pairs") and drawn[-1].endswith("\n")
    assert all(len(later) >= len(earlier.rstrip()) for earlier, later in pairwise(drawn))


def test_a_bar_starts_at_the_pairs_that_exist_and_makes_room_for_a_note(monkeypatch):
    clock, stream = Clock(), io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: True)
    bar = BarProgress(stream, clock)
    bar.note("the board is warm")
    bar.start(4, 2)
    bar.note("the board is hot")
    clock.now += 10
    bar.stored(CLEAN)
    bar.end({})
    drawn = click.unstyle(stream.getvalue()).split("\r")
    assert [line.rstrip(" ") for line in drawn[1:]] == [
        "the board is warm\n",
        "[############............] 2/4 pairs",
        "the board is hot\n",
        "[##################......] 3/4 pairs, 0.1 images/s, 0:00:10 left\n",
    ]


def test_events_are_json_lines():
    stream = io.StringIO()
    events = JsonProgress(stream)
    events.start(2, 0)
    events.stored({**CLEAN, "text": "Nässe\u2028"})
    events.rejected(REJECTED, given_up=True)
    events.end({"status": "done"})
    said = [json.loads(line) for line in stream.getvalue().split("\n")[:-1]]
    assert [event["event"] for event in said] == ["start", "pair", "rejected", "end"]
    assert said[1]["text"] == "Nässe\u2028" and said[3]["status"] == "done"
    assert said[2] == {"event": "rejected", **REJECTED, "given_up": True}


def test_the_way_of_starting_decides(monkeypatch):
    assert type(choose_progress(quiet=False, json_events=True)).__name__ == "JsonProgress"
    assert type(choose_progress(quiet=True, json_events=False)).__name__ == "SilentProgress"
    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert type(choose_progress(quiet=False, json_events=False)).__name__ == "TextProgress"
