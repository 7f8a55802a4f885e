"""`wetgen paint --masks`: a mask for every photograph says what lies where."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from wetgen.runtime.bundle import Bundle
from wetgen.runtime.dataset import unknown_ids
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.painting.damages import Planned, of_mask
from wetgen.runtime.pictures import read_mask


@dataclass(frozen=True)
class InMasks:
    """Damages as the masks of a folder have them; `prompts` by class."""

    bundle: Bundle
    folder: Path
    prompts: Mapping[str, str] = field(default_factory=dict)

    def check(self, photographs: Sequence[Path]) -> None:
        """Raise WetgenError unless there is a mask for every photograph."""
        lacking = [path.name for path in photographs if not mask_path(self.folder, path.name).is_file()]
        if lacking:
            raise WetgenError(
                f"{self.folder} lacks the mask of {lacking[0]}.",
                why=f"{mask_path(self.folder, lacking[0]).name} is not there"
                f"{f', and neither are {len(lacking) - 1} more' if len(lacking) > 1 else ''}.",
                fix="name each mask as its photograph, with .png; an undamaged one is all 0.",
            )

    def plan(self, index: int, attempt: int, name: str, size: tuple[int, int]) -> tuple[list[Planned], list[str]]:
        path = mask_path(self.folder, name)
        mask = read_mask(path)
        assert self.bundle.classes is not None
        fault = unknown_ids(mask, self.bundle.classes, str(path))
        if fault is not None:
            raise fault
        if mask.shape != size:
            raise WetgenError(
                f"{path} is {mask.shape[1]} x {mask.shape[0]}, its photograph {name} is {size[1]} x {size[0]}.",
                why="a mask says of every pixel of its photograph what lies there (sizes are width x height).",
                fix="make the mask again at the photograph's size; its EXIF orientation counts.",
            )
        planned = of_mask(mask, self.bundle, None)
        return [
            each._replace(damage=replace(each.damage, prompt=self.prompts.get(each.class_name, each.damage.prompt)))
            for each in planned
        ], []


def mask_path(folder: Path, name: str) -> Path:
    """Where the mask of the photograph called `name` lies."""
    return folder / f"{Path(name).stem}.png"
