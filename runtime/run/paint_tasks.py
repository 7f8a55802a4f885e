"""The tasks of `wetgen paint` and `wetgen compose`."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.inpaint.backgrounds import Background, Photographs, Surface, draw_surfaces
from wetgen.runtime.inpaint.damage import AtRandom, DamageClass, Planner, choices
from wetgen.runtime.inpaint.draw import InpaintJob, draw_painted
from wetgen.runtime.inpaint.painter import DETAIL, Painter, PlannedDamage
from wetgen.runtime.layouts.surfaces import SurfaceLines, parse_lines
from wetgen.runtime.run.record import RunConfig
from wetgen.runtime.run.tasks import Finish
from wetgen.runtime.sampling.conditioning import undamaged
from wetgen.runtime.sampling.generator import Generator
from wetgen.runtime.sampling.pair import Pair, SamplingParams
from wetgen.runtime.tables import Column, read_table

PART = "painted"
MOST_GUIDANCE = 1e30  # of either sign: the network's is float32, and is multiplied
_ROW_LANE = 2**31  # added to the try: the choice of a background is none of its damages' choices
BACKGROUND_COLUMNS = {
    "prompt": Column(required=True, filled=True),
    "weight": Column(),
    "negative": Column(),
    "guidance": Column(),
    "surface_lines": Column(),
}


@dataclass
class PaintingTask:
    """What all tasks of painted pairs have in common."""

    settings: RunConfig
    total: int
    detail: int = DETAIL
    how: Mapping[str, object] = field(default_factory=dict)
    size: tuple[int, int] | None = None  # (width, height) in pixels of backgrounds that are drawn, None the bundle's
    at_once = 1
    pixels: tuple[int, int] | None = field(default=None, init=False)

    def begin(self, generator: Generator) -> None:
        bundle = generator.bundle
        self.generator, self.bundle, self.plan = generator, bundle, bundle.plan(self.settings.plan)
        self.painter = Painter(generator, self.plan, detail=self.detail)
        self.finish = Finish(bundle, self.settings.tidy)
        texts = dict.fromkeys(self.prompts())
        negative = self.settings.negative
        generator.check(
            [negative, *texts], self.plan, [self.settings.guidance], truncate=False, negative=bool(negative)
        )

    def parts(self) -> Sequence[Hashable]:
        return [PART]

    def part_of(self, index: int) -> Hashable:
        return PART

    def draw(self, part: Hashable, attempts: Iterator[tuple[int, int]], *, judge: bool) -> Iterator[Pair]:
        pairs = draw_painted(self.generator, self.painter, self.sheets, attempts, at_once=self.at_once, judge=judge)
        for pair in pairs:
            yield self.finish(pair, {})

    def prompts(self) -> Sequence[str]:
        """Every prompt that damage may be painted with."""
        raise NotImplementedError

    def sheets(self, named: Sequence[tuple[int, int]]) -> list[InpaintJob]:
        """What is to be painted for each (index, try)."""
        raise NotImplementedError

    def sheet(
        self,
        index: int,
        attempt: int,
        background: Background,
        planned: tuple[Sequence[PlannedDamage], list[str]],
        text: str,
    ) -> InpaintJob:
        """A pair to be painted, with the settings' guidance and negative prompt."""
        how = SamplingParams(index, self.plan.name, self.settings.guidance, self.settings.negative)
        damages, dropped = planned
        prompts = dict.fromkeys(damage.prompt for damage in damages)
        caption = ", ".join([*([text] if text else []), *prompts]) or "a photograph without damage"
        said: dict[str, object] = {} if self.size is None else {"size": list(self.size)}
        seed = self.settings.seed
        return InpaintJob(index, attempt, seed, index, caption, how, background, damages, list(dropped), said)


@dataclass
class PaintTask(PaintingTask):
    """`wetgen paint`: damage in photographs; pair `index` is of photograph `index % len(files)`."""

    folder: Path = Path()
    files: Sequence[Path] = ()
    planner: Planner | None = None
    said_prompts: Sequence[str] = ()

    def prompts(self) -> Sequence[str]:
        return self.said_prompts

    def sheets(self, named: Sequence[tuple[int, int]]) -> list[InpaintJob]:
        assert self.planner is not None
        sheets = []
        for (index, attempt), background in zip(named, Photographs(self.folder, self.files).of(named), strict=True):
            size = background.image.shape[:2]
            name = self.files[index % len(self.files)].name
            planned = self.planner.plan(index, attempt, name, (size[0], size[1]))
            sheets.append(self.sheet(index, attempt, background, planned, ""))
        return sheets


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
        weight, lines = row.number("weight", 0, 1e6), row.text("surface_lines")
        try:
            parsed = SurfaceLines() if lines is None else parse_lines(lines)
        except WetgenError as error:
            raise WetgenError(f"{row.where('surface_lines')}: {error.what}", why=error.why, fix=error.fix) from error
        prompt, negative = row.needed("prompt"), row.text("negative") or ""
        guidance = row.number("guidance", -MOST_GUIDANCE, MOST_GUIDANCE)
        rows.append(BackgroundRow(prompt, 1.0 if weight is None else weight, negative, guidance, parsed))
    if not sum(row.weight for row in rows):
        raise WetgenError(
            f"{path} holds no backgrounds.",
            why="every weight is 0." if rows else "there is nothing below its header.",
            fix="write one a line, for example: a white plaster wall in a living room",
        )
    return rows


@dataclass
class ComposeTask(PaintingTask):
    """`wetgen compose`: damage in backgrounds that are drawn."""

    backgrounds: Sequence[BackgroundRow] = ()
    classes: Sequence[DamageClass] = ()

    def begin(self, generator: Generator) -> None:
        super().begin(generator)
        self.cells, self.at_once = generator.cells(self.size), generator.batch
        self.pixels = self.bundle.sizes.pixels(self.cells)
        self.clean = undamaged(self.bundle.sizes, self.cells)
        self.canvas = generator.tiled(self.plan)
        for row in self.backgrounds:
            scales = [] if row.guidance is None else [row.guidance]
            generator.check([row.prompt, row.negative], self.plan, scales, truncate=False, negative=bool(row.negative))

    def prompts(self) -> Sequence[str]:
        return [each.prompt for each in self.classes]

    def sheets(self, named: Sequence[tuple[int, int]]) -> list[InpaintJob]:
        rows = [self._row(index, attempt) for index, attempt in named]
        surfaces = [
            Surface(
                row.prompt,
                self.settings.seed,
                index,
                attempt,
                self.settings.guidance if row.guidance is None else row.guidance,
                row.negative,
                self.cells,
            )
            for (index, attempt), row in zip(named, rows, strict=True)
        ]
        made = draw_surfaces(self.canvas, self.plan, surfaces, self.clean)
        assert self.pixels is not None  # it has begun
        sheets = []
        for (index, attempt), row, background in zip(named, rows, made, strict=True):
            planner = AtRandom(self.bundle, self.settings.seed, self.classes, row.lines)
            planned = planner.plan(index, attempt, "", self.pixels)
            sheets.append(self.sheet(index, attempt, background, planned, row.prompt))
        return sheets

    def _row(self, index: int, attempt: int) -> BackgroundRow:
        weights = np.array([row.weight for row in self.backgrounds])
        rng = choices(self.settings.seed, index, _ROW_LANE + attempt)
        return self.backgrounds[int(rng.choice(len(weights), p=weights / weights.sum()))]
