"""From the options of `wetgen run` to its task.

From the options of `wetgen paint` and `wetgen compose` to their tasks.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from wetgen.runtime.bundle.archive import file_sha256
from wetgen.runtime.bundle.bundle import Bundle, check_layouts
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import lines_sha256
from wetgen.runtime.inpaint.backgrounds import photograph_files
from wetgen.runtime.inpaint.damage import (
    AtRandom,
    DamageClass,
    InBoxes,
    InMasks,
    Planner,
    class_prompt,
    mask_path,
    read_classes,
)
from wetgen.runtime.inpaint.painter import DETAIL
from wetgen.runtime.layouts.boxes import read_boxes
from wetgen.runtime.layouts.surfaces import SurfaceLines, parse_lines
from wetgen.runtime.masks.cleanup import MaskCleanup
from wetgen.runtime.prompts import PromptRequest, parse_quota, read_prompt_file
from wetgen.runtime.run.counterfactual import task_of
from wetgen.runtime.run.filters import Filter
from wetgen.runtime.run.paint_tasks import ComposeTask, PaintTask, read_backgrounds
from wetgen.runtime.run.record import RunConfig, run_config
from wetgen.runtime.run.tasks import PhotoTask, PromptTask, layout_asks, mask_files
from wetgen.runtime.sampling.conditioning import check_asked


def prompt_task(
    bundle: Bundle,
    prompts: str | None,
    layouts: Path | None,
    *,
    count: int,
    quota: str | None,
    size: tuple[int, int] | None,
    surface_lines: str | None,
    truncate: bool,
    counterfactual: str | None,
    seed: int,
    plan: str | None,
    guidance: float | None,
    negative: str,
    limits: Filter,
    tidy: MaskCleanup,
) -> PromptTask:
    """The task of a file of prompts, of a folder of layouts, or of both. Raises WetgenError for what cannot be."""
    source = "-" if prompts is None else prompts
    check_asked([source], seed, count, guidance)
    given = _given(bundle, prompts, layouts, count, quota)
    lines = SurfaceLines() if surface_lines is None else parse_lines(surface_lines)
    if counterfactual in ("clean", "severity"):  # a family whose damage did not come out shows no difference
        limits = replace(limits, require_asked=True)
    said = {
        "size": None if size is None else list(size),
        "surface_lines": surface_lines,
        "counterfactual": counterfactual,
    }
    settings = replace(
        run_config(bundle, [], seed=seed, plan=plan, guidance=guidance, negative=negative, limits=limits, tidy=tidy),
        prompts=given.a_round,
        prompts_sha256=given.sha256,
        task={name: value for name, value in said.items() if value is not None},
    )
    kind = PhotoTask if given.photos and counterfactual is None else PromptTask
    task = kind(given.asks, settings, source, truncate, size, lines, {"count": count})
    return task if counterfactual is None else task_of(counterfactual, task)


class _Given(NamedTuple):
    """The asks, and what of them decides a run whatever its count: how many there are in a round, and their hash."""

    asks: Sequence[PromptRequest]
    a_round: int
    sha256: str
    photos: bool  # whether any names a photograph


def _given(bundle: Bundle, prompts: str | None, layouts: Path | None, count: int, quota: str | None) -> _Given:
    if layouts is not None:
        return _of_layouts(bundle, prompts, layouts, count, quota)
    if prompts is None:
        raise WetgenError(
            "There is nothing to draw.",
            why="neither --prompts nor --layouts is given.",
            fix="give a file of prompts, one a line: wetgen run --prompts prompts.txt",
        )
    asks = read_prompt_file(prompts, bundle.words, count=count, quota=None if quota is None else parse_quota(quota))
    quotas = "" if quota is None else json.dumps(parse_quota(quota))
    photos = any(line.photo is not None for line in asks.lines)
    return _Given(asks, len(asks.lines), lines_sha256([asks.lines_sha256, quotas]), photos)


def _of_layouts(bundle: Bundle, prompts: str | None, layouts: Path, count: int, quota: str | None) -> _Given:
    if quota is not None:
        raise WetgenError(
            "--quota does nothing with --layouts.",
            why="what a pair shows is what its layout shows.",
            fix="leave out one of the two.",
        )
    listed = None if prompts is None else read_prompt_file(prompts, bundle.words)
    asks = layout_asks(layouts, bundle, count, listed)
    files = mask_files(layouts)
    hashes = [*map(file_sha256, files), "" if listed is None else listed.lines_sha256]
    return _Given(asks, len(files), lines_sha256(hashes), any(ask.photo is not None for ask in asks))


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
    lines = SurfaceLines() if surface_lines is None else parse_lines(surface_lines)
    prompts = {each.name: each.prompt for each in classes}
    planner: Planner
    texts = {class_prompt(name, bundle.words) for name in bundle.classes.names[1:]} | {each.prompt for each in classes}
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
) -> RunConfig:
    """The settings of a run of painted pairs; a pair that lacks a damage it was to have is always drawn again."""
    check_asked(["-"], said["seed"], 1, said["guidance"])
    limits: Filter = replace(said["limits"], require_asked=True)
    others = {name: said[name] for name in ("seed", "plan", "guidance", "negative", "tidy")}
    task = {"command": command, **files, "detail": DETAIL if detail is None else detail}
    return replace(
        run_config(bundle, [], limits=limits, **others),
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
