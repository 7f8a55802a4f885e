"""From a drawn pair to the pair that is stored: what is said of it, and its tidied mask."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.asked import asked_classes
from wetgen.runtime.bundle import Bundle
from wetgen.runtime.classes import IGNORE, ClassTable
from wetgen.runtime.faults import broken, missing_class
from wetgen.runtime.pair import Pair
from wetgen.runtime.tidy import Tidy


class Finish:
    """Finishes the pairs of one run."""

    def __init__(self, bundle: Bundle, tidy: Tidy) -> None:
        self._bundle, self._tidy = bundle, tidy

    def __call__(
        self,
        pair: Pair,
        said: Mapping[str, object],
        *,
        asked: Sequence[str] = (),
        layout: NDArray[np.uint8] | None = None,
    ) -> Pair:
        """The pair with what its row says, how far its mask agrees with the `layout` uint8 (H, W) it was given, and its
        mask tidied; with a fault for each class `asked` for that is missing, or named by the prompt and tidied away."""
        table = self._bundle.classes
        if pair.mask is None or table is None:
            return replace(pair, said={**pair.said, **said})
        told = {**pair.said, **said, **({} if layout is None else layout_agreement(pair.mask, layout))}
        mask = pair.mask
        if self._tidy:
            tidied = self._tidy(mask, pair.confidence)
            mask, told["tidy"] = tidied.mask, {**self._tidy.to_row(), "changed": tidied.changed}
            if self._tidy.marks_ignored:
                told["ignore_id"] = IGNORE
        faults = pair.faults
        if not broken(faults):
            named = [name for name in asked_classes(pair.prompt, self._bundle.words) if _shows(pair.mask, name, table)]
            lacking = [name for name in (*named, *asked) if not _shows(mask, name, table)]
            faults = tuple(dict.fromkeys([*faults, *map(missing_class, lacking)]))
        return replace(pair, mask=mask, faults=faults, said=told)


def _shows(mask: NDArray[np.uint8], name: str, table: ClassTable) -> bool:
    return bool((mask == table.names.index(name)).any())


def layout_agreement(mask: NDArray[np.uint8], layout: NDArray[np.uint8]) -> dict[str, float]:
    """The share of pixels on which a mask and its layout, both uint8 (H, W), agree, and their mean IoU over the
    damage classes of the layout, or over the background of one that shows none; 4 digits."""
    classes = [int(class_id) for class_id in np.unique(layout) if class_id] or [0]
    ious = [
        float(((mask == each) & (layout == each)).sum() / ((mask == each) | (layout == each)).sum()) for each in classes
    ]
    return {"layout_agreement": round(float((mask == layout).mean()), 4), "layout_iou": round(float(np.mean(ious)), 4)}
