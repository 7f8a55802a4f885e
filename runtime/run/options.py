"""The options of `wetgen run`, `paint` and `compose`, as the command line gives them, and the task of `wetgen run`.

A field has its option's name: RunOptions(**values) takes what the command line parsed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

from wetgen.runtime.bundle.archive import file_sha256
from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import lines_sha256
from wetgen.runtime.layouts.surfaces import parse_lines
from wetgen.runtime.masks.cleanup import MaskCleanup
from wetgen.runtime.prompts.lines import PromptRequest
from wetgen.runtime.prompts.quota import parse_quota
from wetgen.runtime.prompts.read import read_prompt_file
from wetgen.runtime.run.filters import Filter
from wetgen.runtime.run.record import RunConfig
from wetgen.runtime.run.tasks import PromptRequests, PromptTask, Requests
from wetgen.runtime.sampling.generator import check_inputs, checked_cells


@dataclass(frozen=True, kw_only=True)
class DrawOptions:
    """The options of every command that draws pairs into a folder; None is the bundle's or the program's default."""

    out: Path = Path("wetgen-out")
    bundle: Path | None = None
    seed: int = 0
    plan: str | None = None
    guidance: float | None = None
    negative: str = ""
    batch: int | None = None
    device: str = "cpu"
    threads: int | None = None
    # Limits, by which pairs are rejected and drawn again
    keep_agreement: float | None = None
    keep_layout: float | None = None
    least_area: float | None = None
    most_area: float | None = None
    least_confidence: float | None = None
    refuse_copies: bool | None = None
    require_asked: bool = False
    tries: int | None = None
    # Changes to a drawn mask
    least_region: int = 0
    fill_holes: int = 0
    ignore_below: float | None = None
    ignore_band: int = 0
    # The folder, and what is said while it fills
    shards: int | None = None
    resume: bool = False
    quiet: bool = False
    json_events: bool = False

    def config(
        self,
        bundle: Bundle,
        prompts: int,
        prompts_sha256: str,
        task: Mapping[str, object] | None = None,
        *,
        require_asked: bool = False,
    ) -> RunConfig:
        """All that decides the pairs of a run, the bundle's defaults filled in; `task` is what this command adds.

        Raises WetgenError for limits that the bundle cannot measure.
        """
        limits, cleanup = Filter(**self._of(Filter)), MaskCleanup(**self._of(MaskCleanup))
        if require_asked:
            limits = replace(limits, require_asked=True)
        limits = limits.for_bundle(bundle)
        return RunConfig(
            bundle_sha256=bundle.hash,
            prompts=prompts,
            prompts_sha256=prompts_sha256,
            seed=self.seed,
            plan=bundle.plan(self.plan).name,
            guidance=bundle.default_guidance if self.guidance is None else self.guidance,
            negative=self.negative,
            filter=limits,
            tidy=cleanup,
            task={} if task is None else task,
        )

    def _of(self, part: type[Filter] | type[MaskCleanup]) -> dict[str, Any]:
        """The options that are fields of a part of the config."""
        return {each.name: getattr(self, each.name) for each in fields(part)}


@dataclass(frozen=True, kw_only=True)
class RunOptions(DrawOptions):
    """The options of `wetgen run`."""

    prompts: str | None = None
    layouts: Path | None = None
    count: int = 1
    quota: str | None = None
    size: tuple[int, int] | None = None
    surface_lines: str | None = None
    counterfactual: str | None = None
    truncate: bool = False


@dataclass(frozen=True, kw_only=True)
class PaintOptions(DrawOptions):
    """The options of `wetgen paint`."""

    photos: Path
    damage: Path | None = None
    boxes: Path | None = None
    masks: Path | None = None
    auto: bool = False
    count: int = 1
    detail: int | None = None
    surface_lines: str | None = None


@dataclass(frozen=True, kw_only=True)
class ComposeOptions(DrawOptions):
    """The options of `wetgen compose`."""

    backgrounds: Path
    classes: Path
    count: int
    size: tuple[int, int] | None = None
    detail: int | None = None


def build_task(bundle: Bundle, options: RunOptions) -> PromptTask:
    """The task of a file of prompts, of a folder of layouts, or of both. Raises WetgenError for what cannot be."""
    check_inputs(options.seed, options.guidance, options.count)
    cells = checked_cells(options.size, bundle.sizes)
    given = _read_layouts(bundle, options) if options.layouts is not None else _read_prompts(bundle, options)
    lines = None if options.surface_lines is None else parse_lines(options.surface_lines)
    decide = {
        "size": None if options.size is None else list(options.size),
        "surface_lines": options.surface_lines,
        "counterfactual": options.counterfactual,
    }
    config = options.config(
        bundle,
        given.a_round,
        given.sha256,
        {name: value for name, value in decide.items() if value is not None},
        require_asked=options.counterfactual in ("clean", "severity"),  # one without its damage shows no difference
    )
    requests: Requests = PromptRequests(given.prompts, config)
    if options.counterfactual is not None:
        from wetgen.runtime.run.counterfactual import counterfactual

        requests = counterfactual(requests, options.counterfactual, bundle.words)
    source, details = "-" if options.prompts is None else options.prompts, {"count": options.count}
    return PromptTask(requests, config, source, options.truncate, cells, lines, details)


class _Given(NamedTuple):
    """The prompts, and what of them decides a run whatever its count: how many are in a round, and their hash."""

    prompts: Sequence[PromptRequest]
    a_round: int
    sha256: str


def _read_prompts(bundle: Bundle, options: RunOptions) -> _Given:
    if options.prompts is None:
        raise WetgenError(
            "There is nothing to draw.",
            why="neither --prompts nor --layouts is given.",
            fix="give a file of prompts, one a line: wetgen run --prompts prompts.txt",
        )
    quota = None if options.quota is None else parse_quota(options.quota)
    file = read_prompt_file(options.prompts, bundle.words, count=options.count, quota=quota)
    return _Given(file, len(file.lines), file.sha256)


def _read_layouts(bundle: Bundle, options: RunOptions) -> _Given:
    from wetgen.runtime.run.layout_requests import layout_requests, mask_files

    assert options.layouts is not None
    if options.quota is not None:
        raise WetgenError(
            "--quota does nothing with --layouts.",
            why="what a pair shows is what its layout shows.",
            fix="leave out one of the two.",
        )
    listed = None if options.prompts is None else read_prompt_file(options.prompts, bundle.words)
    prompts, files = layout_requests(options.layouts, bundle, options.count, listed), mask_files(options.layouts)
    hashes = [*map(file_sha256, files), "" if listed is None else listed.lines_sha256]
    return _Given(prompts, len(files), lines_sha256(hashes))
