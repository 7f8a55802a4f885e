"""From the options of `wetgen run` to its task."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from wetgen.runtime.bundle import Bundle
from wetgen.runtime.bundle_files import file_sha256
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.filters import Filter
from wetgen.runtime.layout_asks import layout_asks, mask_files
from wetgen.runtime.painting.families import task_of
from wetgen.runtime.painting.photo_asks import PhotoTask
from wetgen.runtime.placing.surfaces import Lines, parse_lines
from wetgen.runtime.prompt_task import PromptTask
from wetgen.runtime.prompts import Ask, parse_quota, read_asks
from wetgen.runtime.record import lines_sha256
from wetgen.runtime.request import check_asked
from wetgen.runtime.run import settings_of
from wetgen.runtime.tidy import Tidy


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
    tidy: Tidy,
) -> PromptTask:
    """The task of a file of prompts, of a folder of layouts, or of both. Raises WetgenError for what cannot be."""
    source = "-" if prompts is None else prompts
    check_asked([source], seed, count, guidance)
    given = _given(bundle, prompts, layouts, count, quota)
    lines = Lines() if surface_lines is None else parse_lines(surface_lines)
    if counterfactual in ("clean", "severity"):  # a family whose damage did not come out shows no difference
        limits = replace(limits, require_asked=True)
    said = {
        "size": None if size is None else list(size),
        "surface_lines": surface_lines,
        "counterfactual": counterfactual,
    }
    settings = replace(
        settings_of(bundle, [], seed=seed, plan=plan, guidance=guidance, negative=negative, limits=limits, tidy=tidy),
        prompts=given.a_round,
        prompts_sha256=given.sha256,
        task={name: value for name, value in said.items() if value is not None},
    )
    kind = PhotoTask if given.photos and counterfactual is None else PromptTask
    task = kind(given.asks, settings, source, truncate, size, lines, {"count": count})
    return task if counterfactual is None else task_of(counterfactual, task)


class _Given(NamedTuple):
    """The asks, and what of them decides a run whatever its count: how many there are in a round, and their hash."""

    asks: Sequence[Ask]
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
    asks = read_asks(prompts, bundle.words, count=count, quota=None if quota is None else parse_quota(quota))
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
    listed = None if prompts is None else read_asks(prompts, bundle.words)
    asks = layout_asks(layouts, bundle, count, listed)
    files = mask_files(layouts)
    hashes = [*map(file_sha256, files), "" if listed is None else listed.lines_sha256]
    return _Given(asks, len(files), lines_sha256(hashes), any(ask.photo is not None for ask in asks))
