"""`wetgen run --counterfactual`: families of pairs that differ in one thing, linked by an id in their rows.

clean       the surface of each prompt without damage, and with it
severity    without damage, and at five severities, each of which holds the damage of the ones before
OLD=NEW     each prompt, and the same with one word changed, from the same noise

Where damage comes and goes, it is painted into the same undamaged picture: all else is equal to the byte.
"""

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.prompts.text import ClassWords, mentioned_classes, with_severity
from wetgen.runtime.run.tasks import PairRequest, Requests

STEPS = (0.2, 0.4, 0.6, 0.8, 1.0)  # of severity
_SEVERITY = 0.6  # of damage whose severity nobody says
_CLEAN = "a surface without damage"


class Member(NamedTuple):
    """One of a family: what its row calls it, and its severity; None is without damage."""

    name: str
    severity: float | None


def counterfactual(requests: Requests, kind: str, words: ClassWords) -> Requests:
    """A family of requests for each request; raises WetgenError for an unknown kind."""
    clean = Member("clean", None)
    if kind == "clean":
        return Families(requests, words, (clean, Member("damaged", _SEVERITY)), keep_severity=True)
    if kind == "severity":
        return Families(requests, words, (clean, *(Member(f"severity {step:g}", step) for step in STEPS)))
    old, equals, new = kind.partition("=")
    if not (equals and old.strip() and new.strip()):
        raise WetgenError(
            f"There is no counterfactual '{kind}'.",
            why="it is clean, severity, or a word and its replacement.",
            fix="write --counterfactual clean, --counterfactual severity, or --counterfactual white=grey",
        )
    return Swapped(requests, old.strip(), new.strip())


@dataclass(frozen=True)
class Families:
    """Each request as so many members, which are painted into one undamaged picture.

    With `keep_severity` a request's own severity is that of every damaged member.
    """

    requests: Requests
    words: ClassWords
    members: tuple[Member, ...]
    keep_severity: bool = False

    def __len__(self) -> int:
        return len(self.requests) * len(self.members)

    def __getitem__(self, index: int) -> PairRequest:
        given, member = self._parts(index)
        family = f"{given.seed}-{given.number}"
        link = {"family": family, "member": member.name, "prompt": given.prompt}
        request = replace(given, index=index, surface=given.prompt, metadata={"scene": family, "counterfactual": link})
        if member.severity is None:
            return replace(request, prompt=_CLEAN, severity=None, layout=None)
        if given.severity is not None:
            return request if self.keep_severity else replace(request, severity=member.severity)
        prompt = given.prompt
        if mentioned_classes(prompt, self.words):  # the words of the severity, if the prompt names the damage
            prompt = with_severity(prompt, member.severity, self.words)
        return replace(request, prompt=prompt, severity=member.severity)

    def check(self, request: PairRequest) -> None:
        _refuse_photo(request)
        given, _ = self._parts(request.index)
        if given.severity is not None and not self.keep_severity:
            raise WetgenError(
                "A severity is given, and --counterfactual severity draws all of them.",
                why="only one of the two can say how severe the damage is.",
                fix="remove the severity from the line.",
            )

    def _parts(self, index: int) -> tuple[PairRequest, Member]:
        family, i = divmod(index, len(self.members))
        return self.requests[family], self.members[i]


@dataclass(frozen=True)
class Swapped:
    """Each request twice, drawn from the same noise: as it is, and with one word changed."""

    requests: Requests
    old: str
    new: str

    def __len__(self) -> int:
        return 2 * len(self.requests)

    def __getitem__(self, index: int) -> PairRequest:
        i, changed = divmod(index, 2)
        given = self.requests[i]
        family = f"{given.seed}-{given.number}"
        link = {"family": family, "member": f"{self.old}={self.new}" if changed else "as asked"}
        prompt = _word(self.old).sub(lambda _: self.new, given.prompt) if changed else given.prompt
        return replace(given, index=index, prompt=prompt, metadata={"scene": family, "counterfactual": link})

    def check(self, request: PairRequest) -> None:
        _refuse_photo(request)
        if not _word(self.old).search(request.prompt) and not _word(self.new).search(request.prompt):
            raise WetgenError(
                f"'{self.old}' is not in the prompt.",
                why=f"the prompt is {request.prompt!r}, and --counterfactual {self.old}={self.new} changes that word.",
                fix="choose a word of every prompt, or draw the other prompts in another run.",
            )


def _refuse_photo(request: PairRequest) -> None:
    if request.photo is not None:
        raise WetgenError(
            "A photograph has no counterfactual.",
            why="--counterfactual draws the undamaged picture itself.",
            fix="use `wetgen paint`, which keeps the photograph as it is.",
        )


@lru_cache
def _word(word: str) -> "re.Pattern[str]":
    return re.compile(rf"(?<!\w){re.escape(word)}(?!\w)", re.IGNORECASE)
