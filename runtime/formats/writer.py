"""What all writers have: a folder to fill, the class table, the options, and a tally of what did not fit."""

from abc import ABC, abstractmethod
from collections import Counter

import numpy as np

from wetgen.runtime.classes import IGNORE, ClassTable
from wetgen.runtime.formats.example import TEST, TRAIN, VALIDATION, Example, Options
from wetgen.runtime.formats.new_folder import NewFolder
from wetgen.runtime.formats.regions import Region, regions_of

SHORT = {TRAIN: "train", VALIDATION: "val", TEST: "test"}  # what COCO, YOLO and VOC call the parts


class Writer(ABC):
    """Writes a dataset in one format, example by example; `lost` counts what the format could not take, by words."""

    def __init__(self, folder: NewFolder, classes: ClassTable, options: Options) -> None:
        self.folder, self.classes, self.options = folder, classes, options
        self.lost: Counter[str] = Counter()

    @abstractmethod
    def add(self, example: Example) -> None:
        """Write one pair."""

    @abstractmethod
    def close(self) -> None:
        """Write what stands once for all pairs."""

    def release(self) -> None:  # noqa: B027 - most writers hold no file open
        """Close files that are open still, because the conversion ends here, done or not."""

    def regions(self, example: Example) -> list[Region]:
        """The regions of an example's mask that are large enough; the others are counted."""
        found = regions_of(example.mask)
        kept = [region for region in found if region.area >= self.options.min_area]
        self.lost["regions below --min-area left out"] += len(found) - len(kept)
        return kept

    def count_ignored(self, example: Example, becomes: str) -> None:
        """Note the pixels of a format that has no "ignore"."""
        self.lost[f"ignored pixels, which {becomes}"] += int(np.count_nonzero(example.mask == IGNORE))
