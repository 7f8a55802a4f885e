"""The tasks of `wetgen paint` and `wetgen compose`, and how they come from the options."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from wetgen.runtime.bundle.archive import file_sha256
from wetgen.runtime.bundle.bundle import Bundle, check_layouts
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import lines_sha256
from wetgen.runtime.inpaint.backgrounds import Background, draw_surfaces, photograph_files, read_photograph
from wetgen.runtime.inpaint.damage import (
    AtRandom,
    DamageClass,
    DamagePlan,
    InBoxes,
    InMasks,
    Planner,
    choices,
    class_prompt,
    mask_path,
    read_classes,
)
from wetgen.runtime.inpaint.draw import InpaintJob, draw_painted
from wetgen.runtime.inpaint.painter import DETAIL, Painter
from wetgen.runtime.layouts.boxes import read_boxes
from wetgen.runtime.layouts.surfaces import SurfaceLines, parse_lines
from wetgen.runtime.run.options import ComposeOptions, PaintOptions
from wetgen.runtime.run.record import RunConfig
from wetgen.runtime.run.tasks import postprocess_pair
from wetgen.runtime.sampling.generator import Generator, checked_cells
from wetgen.runtime.sampling.sampler import Pair, SampleInputs, SamplingParams, undamaged
from wetgen.runtime.tables import Column, read_table

GROUP = "painted"
MOST_GUIDANCE = 1e30  # of either sign: the network's is float32, and is multiplied
_ROW_LANE = 2**31  # added to the attempt, so that a background is not chosen by the random numbers of its damages
BACKGROUND_COLUMNS = {
    "prompt": Column(required=True, filled=True),
    **dict.fromkeys(("weight", "negative", "guidance", "surface_lines"), Column()),
}


@dataclass
class PaintingTask:
    """What all tasks of painted pairs have in common; `prompts` are all that damage may be painted with."""

    config: RunConfig
    total: int
    prompts: Sequence[str]
    detail: int
    details: Mapping[str, object]
    size: tuple[int, int] | None = None  # (width, height) in pixels of backgrounds that are drawn, None the bundle's
    at_once = 1
    groups = (GROUP,)
    pixels: tuple[int, int] | None = field(default=None, init=False)

    def begin(self, generator: Generator) -> None:
        bundle = generator.bundle
        self.generator, self.bundle, self.plan = generator, bundle, bundle.plan(self.config.plan)
        self.painter = Painter(generator, self.plan, detail=self.detail)
        self.params = SamplingParams(self.plan.name, self.config.guidance, self.config.negative)
        generator.check(self.params, dict.fromkeys(self.prompts), truncate=False)

    def group_of(self, index: int) -> Hashable:
        return GROUP

    def draw(self, group: Hashable, attempts: Iterator[tuple[int, int]], *, judge: bool) -> Iterator[Pair]:
        pairs = draw_painted(self.generator, self.painter, self.jobs, attempts, at_once=self.at_once, judge=judge)
        for pair in pairs:
            yield postprocess_pair(pair, {}, self.bundle, self.config.tidy)

    def jobs(self, batch: Sequence[tuple[int, int]]) -> list[InpaintJob]:
        """What is painted for each (index, attempt)."""
        raise NotImplementedError

    def job(self, index: int, attempt: int, background: Background, plan: DamagePlan, text: str) -> InpaintJob:
        """A pair to be painted, with the run's guidance and negative prompt; `text` is the background's prompt."""
        damages, dropped = plan
        prompts = dict.fromkeys(damage.prompt for damage in damages)
        caption = ", ".join([*([text] if text else []), *prompts]) or "a photograph without damage"
        metadata: dict[str, object] = {} if self.size is None else {"size": list(self.size)}
        inputs = SampleInputs(caption, self.config.seed, index, self.params, attempt, index=index)
        return InpaintJob(inputs, background, damages, dropped, metadata)


@dataclass(kw_only=True)
class PaintTask(PaintingTask):
    """`wetgen paint`: damage in photographs; pair `index` is of photograph `index % len(files)`."""

    files: Sequence[Path]
    planner: Planner

    def jobs(self, batch: Sequence[tuple[int, int]]) -> list[InpaintJob]:
        jobs = []
        for index, attempt in batch:
            path = self.files[index % len(self.files)]
            background = read_photograph(path)
            height, width, _ = background.image.shape
            plan = self.planner.plan(index, attempt, path.name, (height, width))
            jobs.append(self.job(index, attempt, background, plan, ""))
        return jobs


@dataclass(frozen=True)
class BackgroundRow:
    """A row of backgrounds.csv."""

    prompt: str
    weight: float
    negative: str
    guidance: float | None
    lines: SurfaceLines


def read_backgrounds(path: Path) -> list[BackgroundRow]:
    """The rows of backgrounds.csv: prompt, weight, negative, guidance, surface_lines; raises WetgenError by cell."""
    rows = []
    for row in read_table(path, BACKGROUND_COLUMNS):
        weight = row.number("weight", 0, 1e6)
        try:
            lines = parse_lines(row.text("surface_lines"))
        except WetgenError as error:
            raise WetgenError(f"{row.where('surface_lines')}: {error.what}", why=error.why, fix=error.fix) from error
        prompt, negative = row.needed("prompt"), row.text("negative") or ""
        guidance = row.number("guidance", -MOST_GUIDANCE, MOST_GUIDANCE)
        rows.append(BackgroundRow(prompt, 1.0 if weight is None else weight, negative, guidance, lines))
    if not sum(row.weight for row in rows):
        raise WetgenError(
            f"{path} holds no backgrounds.",
            why="every weight is 0." if rows else "there is nothing below its header.",
            fix="write one a line, for example: a white plaster wall in a living room",
        )
    return rows


@dataclass(kw_only=True)
class ComposeTask(PaintingTask):
    """`wetgen compose`: damage in backgrounds that are drawn."""

    backgrounds: Sequence[BackgroundRow]
    classes: Sequence[DamageClass]

    def begin(self, generator: Generator) -> None:
        super().begin(generator)
        self.cells, self.at_once = checked_cells(self.size, self.bundle.sizes), generator.batch
        self.pixels = self.bundle.sizes.pixels(self.cells)
        for row in self.backgrounds:
            generator.check(self._params(row), [row.prompt], truncate=False)

    def jobs(self, batch: Sequence[tuple[int, int]]) -> list[InpaintJob]:
        rows = [self._row(index, attempt) for index, attempt in batch]
        clean = undamaged(self.bundle.sizes, self.cells)
        surfaces = []
        for (index, attempt), row in zip(batch, rows, strict=True):
            params = self._params(row)
            surfaces.append(SampleInputs(row.prompt, self.config.seed, index, params, attempt, clean, size=self.cells))
        backgrounds = draw_surfaces(self.generator.tiled(self.plan), self.plan, surfaces)
        assert self.pixels is not None  # it has begun
        jobs = []
        for (index, attempt), row, background in zip(batch, rows, backgrounds, strict=True):
            planner = AtRandom(self.bundle, self.config.seed, self.classes, row.lines)
            plan = planner.plan(index, attempt, "", self.pixels)
            jobs.append(self.job(index, attempt, background, plan, row.prompt))
        return jobs

    def _params(self, row: BackgroundRow) -> SamplingParams:
        guidance = self.config.guidance if row.guidance is None else row.guidance
        return SamplingParams(self.plan.name, guidance, row.negative)

    def _row(self, index: int, attempt: int) -> BackgroundRow:
        weights = np.array([row.weight for row in self.backgrounds])
        rng = choices(self.config.seed, index, _ROW_LANE + attempt)
        return self.backgrounds[int(rng.choice(len(weights), p=weights / weights.sum()))]


def paint_task(bundle: Bundle, options: PaintOptions) -> PaintTask:
    """The task of painting into photographs. Raises WetgenError for options and files that cannot be used."""
    check_layouts(bundle)
    _check_ways(options)
    boxes, masks = options.boxes, options.masks
    assert bundle.classes is not None
    files = photograph_files(options.photos)
    classes = [] if options.damage is None else _classes(bundle, options.damage)
    prompts = {each.name: each.prompt for each in classes}
    texts = {class_prompt(name, bundle.words) for name in bundle.classes.names[1:]} | {each.prompt for each in classes}
    planner: Planner = AtRandom(bundle, options.seed, classes, parse_lines(options.surface_lines))
    hashed = {"damage": options.damage, "boxes": boxes}
    task = {name: file_sha256(path) for name, path in hashed.items() if path is not None}
    if boxes is not None:
        rows = read_boxes(boxes, bundle.classes)
        _check_named(boxes, [row.file_name for row in rows], files)
        planner = InBoxes(bundle, options.seed, rows, prompts)
        texts |= {row.prompt for row in rows if row.prompt}
    elif masks is not None:
        planner = InMasks(bundle, masks, prompts)
        planner.check(files)
        task["masks"] = lines_sha256([file_sha256(mask_path(masks, path.name)) for path in files])
    photographs = [path.name for path in files]  # not their contents: a broken one may be mended, and the run resumed
    return PaintTask(
        _config(bundle, options, "paint", photographs, task),
        options.count * len(files),
        sorted(texts),
        _detail(options),
        {"count": options.count},
        files=files,
        planner=planner,
    )


def compose_task(bundle: Bundle, options: ComposeOptions) -> ComposeTask:
    """The task of composing pairs. Raises WetgenError for files that cannot be used."""
    check_layouts(bundle)
    rows, damages = read_backgrounds(options.backgrounds), _classes(bundle, options.classes)
    task: dict[str, object] = {
        "backgrounds": file_sha256(options.backgrounds),
        "classes": file_sha256(options.classes),
        **({} if options.size is None else {"size": list(options.size)}),
    }
    return ComposeTask(
        _config(bundle, options, "compose", [row.prompt for row in rows], task),
        options.count,
        [each.prompt for each in damages],
        _detail(options),
        {"count": options.count},
        options.size,
        backgrounds=rows,
        classes=damages,
    )


def _classes(bundle: Bundle, path: Path) -> list[DamageClass]:
    assert bundle.classes is not None  # check_layouts has checked it
    return read_classes(path, bundle.classes.names[1:], bundle.words, bundle.mask_statistics)


def _config(
    bundle: Bundle,
    options: PaintOptions | ComposeOptions,
    command: str,
    listed: Sequence[str],
    task: Mapping[str, object],
) -> RunConfig:
    """The config of a run of painted pairs; a pair that lacks a damage it was to have is always drawn again."""
    task = {"command": command, **task, "detail": _detail(options)}
    if isinstance(options, PaintOptions) and options.surface_lines is not None:
        task["surface_lines"] = options.surface_lines
    return options.config(bundle, len(listed), lines_sha256(listed), task, require_asked=True)


def _detail(options: PaintOptions | ComposeOptions) -> int:
    return DETAIL if options.detail is None else options.detail


def _check_ways(options: PaintOptions) -> None:
    damage, surface_lines = options.damage, options.surface_lines
    ways = [f"--{name}" for name in ("boxes", "masks", "auto") if getattr(options, name)]
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
            why="surfaces say where random damage may be; here the places are given.",
            fix="leave one of them out.",
        )


def _check_named(path: Path, names: Sequence[str | None], files: Sequence[Path]) -> None:
    """Raise WetgenError for boxes of a photograph that does not exist: its name is misspelt."""
    lost = sorted({name for name in names if name is not None} - {file.name for file in files})
    if lost:
        more = f", and {len(lost) - 1} more like it" if len(lost) > 1 else ""
        raise WetgenError(
            f"{path} has boxes for {lost[0]}.",
            why=f"there is no such photograph{more}.",
            fix="write the names of the files in the folder of photographs, without the folder.",
        )
