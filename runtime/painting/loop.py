"""How painted pairs are drawn batch by batch, whatever they are painted into."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from wetgen.runtime.generator import Generator, Take
from wetgen.runtime.painting.paint import Sheet, paint_sheets, pair_of
from wetgen.runtime.painting.painter import Painter
from wetgen.runtime.pair import Pair

Sheets = Callable[[Sequence[tuple[int, int]]], list[Sheet]]


def draw_painted(
    generator: Generator, painter: Painter, sheets: Sheets, take: Take, *, at_once: int, judge: bool
) -> Iterator[Pair]:
    """Yield the pairs of the (index, try) that `take` names, painted on what `sheets` gives for them."""
    while named := list(take(at_once)):
        made = sheets(named)
        paint_sheets(painter, made)
        for sheet in made:
            pair = pair_of(sheet, generator.bundle)
            yield judged(generator, pair) if judge else pair


def judged(generator: Generator, pair: Pair) -> Pair:
    """The pair, of the bundle's size, with what its judge sees in it."""
    seen = {name: array[0].astype(np.uint8) for name, array in generator.judge(pair.image[None]).items()}
    return replace(pair, judged=seen["judged"], judge_confidence=seen["judge_confidence"])
