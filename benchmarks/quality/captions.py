"""Whether pictures show what their prompts ask for, as the judge reads them, and whether one word changes one thing.

Axes: N pairs, K classes, S pixels a side.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from wetgen.benchmarks.quality.floors import Entry, Rows, score_beside_floor
from wetgen.benchmarks.quality.integrity import Synonyms
from wetgen.benchmarks.quality.pairs import Pairs
from wetgen.runtime.masks.classes import ClassTable
from wetgen.runtime.prompts.text import mentioned_classes

FOUND = 0.01  # share of the picture from which a class counts as read
LEAST_PROMPTED = 5  # pairs that ask for a class before its recall is told
BORDER = 2  # pixels around both masks at 64 a side that may change with the damage


def read_back(
    synthetic: Pairs,
    predicted: NDArray[np.uint8],
    real: Pairs,
    real_predicted: NDArray[np.uint8],
    words: Synonyms,
) -> dict[str, Any]:
    """How often the judge finds the class that the prompt asks for: recall, beside that on real pairs' captions.

    `predicted` and `real_predicted` are the judge's class ids (N, S, S); `real` are pairs it was not trained on.
    `confusion` holds, per class asked for, the share of its pictures in which each class is read, or "none".
    """
    asked = [_asked(pairs, words) for pairs in (synthetic, real)]
    read = [_read(masks, len(synthetic.table)) for masks in (predicted, real_predicted)]
    names = synthetic.table.names
    classes = [id for id in range(1, len(names)) if asked[0][:, id].sum() >= LEAST_PROMPTED]
    return {
        "recall": _recall(asked, read, list(range(1, len(names))), real.groups),
        "classes": {names[id]: _recall(asked, read, [id], real.groups) for id in classes},
        "confusion": {
            side: {names[id]: _confusion(asked[i], read[i], id, synthetic.table) for id in classes}
            for i, side in enumerate(("synthetic", "real"))
        },
    }


def _asked(pairs: Pairs, words: Synonyms) -> NDArray[np.bool_]:
    """Which classes each prompt asks for, (N, K)."""
    listed = [mentioned_classes(text, words) for text in pairs.texts]
    return np.array([[name in asked for name in pairs.table.names] for asked in listed])


def _read(masks: NDArray[np.uint8], classes: int) -> NDArray[np.bool_]:
    """Which classes cover at least FOUND of each mask, (N, K)."""
    return np.stack([(masks == id).mean((1, 2)) >= FOUND for id in range(classes)], 1)


def _recall(
    asked: Sequence[NDArray[np.bool_]], read: Sequence[NDArray[np.bool_]], classes: list[int], groups: tuple[str, ...]
) -> Entry:
    """Classes found over classes asked for, counted over the pairs that ask for one."""
    counts = [
        np.stack([requested[:, classes].sum(1), (requested & seen)[:, classes].sum(1)], 1).astype(np.float64)
        for requested, seen in zip(asked, read, strict=True)
    ]
    drawn, known = (rows[rows[:, 0] > 0] for rows in counts)
    prompted = [group for group, row in zip(groups, counts[1], strict=True) if row[0]]
    return score_beside_floor(_found_share, drawn, known, prompted, "lower", least=LEAST_PROMPTED)


def _found_share(counts: Rows) -> float:
    return float(counts[1] / counts[0])


def _confusion(
    asked: NDArray[np.bool_], read: NDArray[np.bool_], class_id: int, table: ClassTable
) -> dict[str, float | int]:
    """In what share of the pictures that ask for the class each class is read; `pairs` counts them."""
    seen = read[asked[:, class_id], 1:]
    if not len(seen):
        return {"pairs": 0}
    shares = {name: float(share) for name, share in zip(table.names[1:], seen.mean(0), strict=True) if share}
    return {"pairs": len(seen), **shares, "none": float((~seen.any(1)).mean())}


@dataclass(frozen=True)
class Swap:
    """A prompt for one class and the same prompt for another, by one word."""

    prompt: str
    swapped: str
    asked: int
    swapped_for: int


def swaps(prompts: Sequence[str], words: Synonyms, table: ClassTable, classes: Sequence[int], count: int) -> list[Swap]:
    """Up to `count` swaps among these damage classes, of prompts that ask for exactly one; each prompt serves once.

    The other classes take turns. Left out is what by its words would not ask for exactly the other class.
    """
    found: list[Swap] = []
    for prompt in dict.fromkeys(prompts):
        asked = [table.names.index(name) for name in mentioned_classes(prompt, words)]
        others = [id for id in classes if id not in asked]
        if len(asked) == 1 and asked[0] in classes and others and len(found) < count:
            other = others[len(found) % len(others)]
            swapped = _swapped(prompt, words[table.names[asked[0]]], words[table.names[other]])
            if mentioned_classes(swapped, words) == (table.names[other],):
                found.append(Swap(prompt, swapped, asked[0], other))
    return found


def _swapped(prompt: str, old: Sequence[str], new: Sequence[str]) -> str:
    """The prompt with the class's first-listed word, the noun, replaced by the other's; as it is if it lacks that."""

    def word(match: re.Match[str]) -> str:
        noun = f"{new[0]}s" if match["plural"] and f"{new[0]}s" in new else new[0]
        article = match["article"] or ""
        if article.strip().lower() in ("a", "an"):
            article = article[0] + ("n " if noun[0] in "aeiou" else " ")
        return article + noun

    noun = re.escape(old[0])
    return re.sub(rf"(?P<article>\ban? )?\b{noun}(?P<plural>s?)\b", word, prompt, count=1, flags=re.IGNORECASE)


def one_word(
    first: Pairs,
    second: Pairs,
    predicted: NDArray[np.uint8],
    second_predicted: NDArray[np.uint8],
    swapped: Sequence[Swap],
) -> dict[str, Any]:
    """What swapping one word changes, of pairs drawn twice from the same noise; `predicted` is what the judge reads.

    `mask_follows` and `reading_follows`: in what share of twins the first shows the class asked for, and the second the
    other in its place. `inside` and `outside` both masks: the mean absolute difference of the twins' pictures, of 1;
    beside it `other_picture`, the same between pictures from different noise. Pairs without anything outside don't
    count there.
    """
    assert len(first) == len(second) == len(swapped)
    changed = [_changes(first, second, i) for i in range(len(first))]
    means = {
        name: [float(np.mean(values)) for values in column if len(values)]
        for name, column in zip(("inside", "outside", "other_picture"), zip(*changed, strict=True), strict=True)
    }
    table = len(first.table)
    return {
        "twins": len(first),
        "mask_follows": _follows(_any(first.masks, table), _any(second.masks, table), swapped),
        "reading_follows": _follows(_read(predicted, table), _read(second_predicted, table), swapped),
        **{name: float(np.mean(values)) if values else None for name, values in means.items()},
    }


def _any(masks: NDArray[np.uint8], classes: int) -> NDArray[np.bool_]:
    return np.stack([(masks == id).any((1, 2)) for id in range(classes)], 1)


def _follows(first: NDArray[np.bool_], second: NDArray[np.bool_], swapped: Sequence[Swap]) -> float:
    """In what share the class asked for gives way to the other; shown classes (N, K) of both twins."""
    return float(
        np.mean(
            [
                one[swap.asked] and other[swap.swapped_for] and not other[swap.asked]
                for one, other, swap in zip(first, second, swapped, strict=True)
            ]
        )
    )


def _changes(first: Pairs, second: Pairs, i: int) -> tuple[Rows, Rows, Rows]:
    """Absolute differences inside both masks of a twin, outside them, and outside them to the next picture."""
    damaged = (first.masks[i] > 0) | (second.masks[i] > 0)
    border = max(1, round(BORDER * first.size / 64))
    outside = ~ndimage.binary_dilation(damaged, iterations=border)
    image = first.images[i] / 255.0
    between = np.abs(image - second.images[i] / 255.0)
    to_next = np.abs(image - first.images[(i + 1) % len(first)] / 255.0)
    return between[damaged], between[outside], to_next[outside]
