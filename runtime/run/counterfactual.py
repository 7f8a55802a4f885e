"""`wetgen run --counterfactual`: families of pairs that differ in one thing, linked by an id in their rows.

clean       the surface of each prompt without damage, and with it
severity    without damage, and at five severities, each of which holds the damage of the ones before
OLD=NEW     each prompt, and the same with one word changed, from the same noise

Where damage comes and goes, it is painted into the same undamaged picture: all else is equal to the byte.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.prompts.text import ClassWords, mentioned_classes, with_severity
from wetgen.runtime.run.tasks import PairRequest, Requests

STEPS = (0.2, 0.4, 0.6, 0.8, 1.0)  # of severity
_SEVERITY = 0.6  # of damage if no severity is given
_CLEAN = "a surface without damage"


class Member(NamedTuple):
    """One pair of a family: what its row calls it, and how it changes the request of the family."""

    name: str
    change: Callable[[PairRequest], PairRequest]


@dataclass(frozen=True)
class Families:
    """A family for each request; `refuse` raises WetgenError for a request that cannot have one."""

    requests: Requests
    members: tuple[Member, ...]
    refuse: Callable[[PairRequest], None]

    def __len__(self) -> int:
        return len(self.requests) * len(self.members)

    def __getitem__(self, index: int) -> PairRequest:
        i, n = divmod(index, len(self.members))
        given, member = self.requests[i], self.members[n]
        request, family = member.change(given), f"{given.seed}-{given.number}"
        link = {"family": family, "member": member.name}
        link |= {} if request.surface is None else {"prompt": given.prompt}
        return replace(request, index=index, metadata={"scene": family, "counterfactual": link})

    def check(self, request: PairRequest) -> None:
        if request.photo is not None:
            raise WetgenError(
                "A photograph has no counterfactual.",
                why="--counterfactual draws the undamaged picture itself.",
                fix="use `wetgen paint`, which keeps the photograph as it is.",
            )
        self.refuse(self.requests[request.index // len(self.members)])


def counterfactual(requests: Requests, kind: str, words: ClassWords) -> Requests:
    """A family of requests for each request; raises WetgenError for an unknown kind."""
    if kind in ("clean", "severity"):
        return _severities(requests, words, keep=kind == "clean")
    old, _, new = (part.strip() for part in kind.partition("="))
    if not (old and new):
        raise WetgenError(
            f"There is no counterfactual '{kind}'.",
            why="it is clean, severity, or a word and its replacement.",
            fix="write --counterfactual clean, --counterfactual severity, or --counterfactual white=grey",
        )
    return _swapped(requests, old, new)


def _severities(requests: Requests, words: ClassWords, *, keep: bool) -> Families:
    """Members without damage and with it, painted into one undamaged picture: at one severity (`keep`) or at five.

    With `keep` a request's own severity is that of the damage.
    """

    def clean(given: PairRequest) -> PairRequest:
        return replace(given, prompt=_CLEAN, surface=given.prompt, severity=None, layout=None)

    def damaged(severity: float) -> Callable[[PairRequest], PairRequest]:
        def change(given: PairRequest) -> PairRequest:
            if given.severity is not None:
                return replace(given, surface=given.prompt, severity=given.severity if keep else severity)
            named = mentioned_classes(given.prompt, words)
            prompt = with_severity(given.prompt, severity, words) if named else given.prompt
            return replace(given, prompt=prompt, surface=given.prompt, severity=severity)

        return change

    def refuse(given: PairRequest) -> None:
        if given.severity is not None and not keep:
            raise WetgenError(
                "A severity is given, and --counterfactual severity draws all of them.",
                why="only one of the two can say how severe the damage is.",
                fix="remove the severity from the line.",
            )

    steps = [Member("damaged", damaged(_SEVERITY))] if keep else [Member(f"severity {s:g}", damaged(s)) for s in STEPS]
    return Families(requests, (Member("clean", clean), *steps), refuse)


def _swapped(requests: Requests, old: str, new: str) -> Families:
    """Each request as it is, and with one word changed."""
    word, other = (re.compile(rf"(?<!\w){re.escape(each)}(?!\w)", re.IGNORECASE) for each in (old, new))

    def change(given: PairRequest) -> PairRequest:
        return replace(given, prompt=word.sub(lambda _: new, given.prompt))

    def refuse(given: PairRequest) -> None:
        if not word.search(given.prompt) and not other.search(given.prompt):
            raise WetgenError(
                f"'{old}' is not in the prompt.",
                why=f"the prompt is {given.prompt!r}, and --counterfactual {old}={new} changes that word.",
                fix="choose a word of every prompt, or draw the other prompts in another run.",
            )

    return Families(requests, (Member("as asked", lambda given: given), Member(f"{old}={new}", change)), refuse)
