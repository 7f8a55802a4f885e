"""From the options of `wetgen paint` and `wetgen compose` to their tasks."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from wetgen.runtime.bundle import Bundle
from wetgen.runtime.bundle_files import file_sha256
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.filters import Filter
from wetgen.runtime.layouts import check_layouts
from wetgen.runtime.painting.backgrounds import photograph_files
from wetgen.runtime.painting.damages import AtRandom, InBoxes, Planner
from wetgen.runtime.painting.masks import InMasks, mask_path
from wetgen.runtime.painting.painter import DETAIL
from wetgen.runtime.painting.tasks import ComposeTask, PaintTask, read_backgrounds
from wetgen.runtime.painting.wishes import DamageClass, read_classes, spoken
from wetgen.runtime.placing.boxes import read_boxes
from wetgen.runtime.placing.surfaces import Lines, parse_lines
from wetgen.runtime.record import Settings, lines_sha256
from wetgen.runtime.request import check_asked
from wetgen.runtime.run import settings_of


def paint_task(
    bundle: Bundle,
    photos: Path,
    damage: Path | None,
    boxes: Path | None,
    masks: Path | None,
    auto: bool,
    count: int,
    detail: int | None,
    surface_lines: str | None,
    said: Mapping[str, Any],
) -> PaintTask:
    """The task of painting into photographs. Raises WetgenError for options and files that cannot be."""
    check_layouts(bundle)
    _check_ways(damage, boxes, masks, auto, surface_lines)
    assert bundle.classes is not None
    files = photograph_files(photos)
    classes = [] if damage is None else _classes(bundle, damage)
    lines = Lines() if surface_lines is None else parse_lines(surface_lines)
    prompts = {each.name: each.prompt for each in classes}
    planner: Planner
    texts = {spoken(name, bundle.words) for name in bundle.classes.names[1:]} | {each.prompt for each in classes}
    if boxes is not None:
        rows = read_boxes(boxes, bundle.classes)
        _check_named(boxes, [row.file_name for row in rows], files)
        planner = InBoxes(bundle, said["seed"], rows, prompts)
        texts |= {row.prompt for row in rows if row.prompt}
    elif masks is not None:
        planner = InMasks(bundle, masks, prompts)
        planner.check(files)
    else:
        planner = AtRandom(bundle, said["seed"], classes, lines)
    given = {"damage": damage, "boxes": boxes}
    hashed = {name: file_sha256(path) for name, path in given.items() if path is not None}
    if masks is not None:
        hashed["masks"] = lines_sha256([file_sha256(mask_path(masks, path.name)) for path in files])
    photographs = [path.name for path in files]  # not their contents: a broken one may be mended, and the run resumed
    settings = _settings(bundle, said, "paint", len(files), lines_sha256(photographs), hashed, detail, surface_lines)
    return PaintTask(
        settings,
        count * len(files),
        DETAIL if detail is None else detail,
        {"count": count},
        folder=photos if photos.is_dir() else photos.parent,
        files=files,
        planner=planner,
        said_prompts=sorted(texts),
    )


def compose_task(
    bundle: Bundle,
    backgrounds: Path,
    classes: Path,
    count: int,
    size: tuple[int, int] | None,
    detail: int | None,
    said: Mapping[str, Any],
) -> ComposeTask:
    """The task of composing pairs. Raises WetgenError for files that cannot be."""
    check_layouts(bundle)
    rows, damages = read_backgrounds(backgrounds), _classes(bundle, classes)
    hashed = {"backgrounds": file_sha256(backgrounds), "classes": file_sha256(classes)}
    task = {**hashed, **({} if size is None else {"size": list(size)})}
    settings = _settings(
        bundle, said, "compose", len(rows), lines_sha256([row.prompt for row in rows]), task, detail, None
    )
    detail = DETAIL if detail is None else detail
    return ComposeTask(settings, count, detail, {"count": count}, size, backgrounds=rows, classes=damages)


def _classes(bundle: Bundle, path: Path) -> list[DamageClass]:
    assert bundle.classes is not None  # check_layouts has seen to it
    return read_classes(path, bundle.classes.names[1:], bundle.words, bundle.mask_statistics)


def _settings(
    bundle: Bundle,
    said: Mapping[str, Any],
    command: str,
    number: int,
    sha256: str,
    files: Mapping[str, object],
    detail: int | None,
    surface_lines: str | None,
) -> Settings:
    """The settings of a run of painted pairs; a pair that lacks a damage it was to have is always drawn again."""
    check_asked(["-"], said["seed"], 1, said["guidance"])
    limits: Filter = replace(said["limits"], require_asked=True)
    others = {name: said[name] for name in ("seed", "plan", "guidance", "negative", "tidy")}
    task = {"command": command, **files, "detail": DETAIL if detail is None else detail}
    return replace(
        settings_of(bundle, [], limits=limits, **others),
        prompts=number,
        prompts_sha256=sha256,
        task=task if surface_lines is None else {**task, "surface_lines": surface_lines},
    )


def _check_ways(
    damage: Path | None, boxes: Path | None, masks: Path | None, auto: bool, surface_lines: str | None
) -> None:
    ways = [name for name, given in (("--boxes", boxes), ("--masks", masks), ("--auto", auto)) if given]
    if len(ways) > 1:
        raise WetgenError(
            f"{' and '.join(ways)} are given.", why="damage is placed in one way.", fix="leave all but one of them out."
        )
    if damage is None and ways in ([], ["--auto"]):
        raise WetgenError(
            "Nothing says which damage to paint.",
            why="neither --damage nor --boxes nor --masks is given.",
            fix="write the classes into a file, one a line below the header `class`, and give it with --damage.",
        )
    if surface_lines is not None and ways not in ([], ["--auto"]):
        raise WetgenError(
            f"--surface-lines and {ways[0]} are given.",
            why="surfaces say where damage may lie at random; here its places are given.",
            fix="leave one of them out.",
        )


def _check_named(path: Path, names: Sequence[str | None], files: Sequence[Path]) -> None:
    """Boxes for photographs that are not there are a mistake in a name."""
    there = {file.name for file in files}
    lost = sorted({name for name in names if name is not None and name not in there})
    if lost:
        raise WetgenError(
            f"{path} has boxes for {lost[0]}.",
            why=f"there is no such photograph{f', and {len(lost) - 1} more like it' if len(lost) > 1 else ''}.",
            fix="write file names as they stand in the folder of photographs, without the folder.",
        )
