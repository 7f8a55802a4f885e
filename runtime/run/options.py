"""The options of `wetgen run`, `paint` and `compose`, as the command line gives them, and the task of `wetgen run`.

A field has its option's name: RunOptions(**values) takes what the command line parsed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

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
    count: int = 1
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

        Raises WetgenError for values that cannot be, and for limits that the bundle cannot measure.
        """
        self._check()
        limits = self.limits(bundle, require_asked)
        check_inputs(self.seed, self.guidance, self.count)
        return RunConfig(
            bundle_sha256=bundle.hash,
            prompts=prompts,
            prompts_sha256=prompts_sha256,
            seed=self.seed,
            plan=bundle.plan(self.plan).name,
            guidance=bundle.default_guidance if self.guidance is None else self.guidance,
            negative=self.negative,
            filter=limits,
            tidy=MaskCleanup(**{each.name: getattr(self, each.name) for each in fields(MaskCleanup)}),
            task={} if task is None else task,
        )

    def _check(self) -> None:
        for name in _SHARES:
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:  # false for NaN too
                raise WetgenError(f"{_option(name)} is {value}.", why="it is a share.", fix="use a number from 0 to 1.")
        for name in _PIXELS:
            value = getattr(self, name)
            if not value >= 0:
                fix = "use 1 or more, or leave the option out."
                raise WetgenError(f"{_option(name)} is {value}.", why="it is a number of pixels.", fix=fix)
        if self.least_area is not None and self.most_area is not None and self.least_area > self.most_area:
            raise WetgenError(
                f"--least-area is {self.least_area} and --most-area {self.most_area}.",
                why="no pair lies between the two.",
                fix="exchange them.",
            )

    def limits(self, bundle: Bundle, require_asked: bool = False) -> Filter:
        """The limits, `refuse_copies` decided; raises WetgenError for those that the bundle cannot measure."""
        limits = {each.name: getattr(self, each.name) for each in fields(Filter)}
        limits["require_asked"] |= require_asked
        # Not `in (None, False)`: a limit of 0 equals False, and is a limit.
        of_masks = [name for name, value in limits.items() if value is not None and value is not False]
        of_masks = [name for name in of_masks if name != "refuse_copies"]
        if bundle.classes is None and of_masks:
            raise WetgenError(
                f"{_option(of_masks[0])} is not possible with this bundle.",
                why=f"{bundle.folder} draws pictures without masks.",
                fix="leave the option out, or use a bundle that draws masks.",
            )
        add = "wetgen judge REAL --bundle BUNDLE --out NEW"
        if self.keep_agreement is not None and not bundle.has_judge:
            raise WetgenError(
                "--keep-agreement is not possible with this bundle.",
                why=f"{bundle.folder} holds no judge to agree with its masks.",
                fix=f"train one on real photographs and add it: {add}",
            )
        if self.refuse_copies and bundle.fingerprints is None:
            raise WetgenError(
                "--refuse-copies is not possible with this bundle.",
                why=f"{bundle.folder} holds no fingerprints of the pictures it was trained on.",
                fix=f"add them together with a judge: {add}",
            )
        known = bundle.fingerprints is not None
        return Filter(**{**limits, "refuse_copies": known if self.refuse_copies is None else self.refuse_copies})


_SHARES = ("keep_agreement", "keep_layout", "least_area", "most_area", "least_confidence", "ignore_below")
_PIXELS = ("least_region", "fill_holes", "ignore_band")


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


@dataclass(frozen=True, kw_only=True)
class RunOptions(DrawOptions):
    """The options of `wetgen run`."""

    prompts: str | None = None
    layouts: Path | None = None
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
    detail: int | None = None
    surface_lines: str | None = None


@dataclass(frozen=True, kw_only=True)
class ComposeOptions(DrawOptions):
    """The options of `wetgen compose`."""

    backgrounds: Path
    classes: Path
    size: tuple[int, int] | None = None
    detail: int | None = None


def build_task(bundle: Bundle, options: RunOptions) -> PromptTask:
    """The task of a file of prompts, of a folder of layouts, or of both. Raises WetgenError for what cannot be."""
    given = _read_layouts(bundle, options) if options.layouts is not None else _read_prompts(bundle, options)
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
    cells = checked_cells(options.size, bundle.sizes)
    requests: Requests = PromptRequests(given.prompts, config)
    if options.counterfactual is not None:
        from wetgen.runtime.run.counterfactual import counterfactual

        requests = counterfactual(requests, options.counterfactual, bundle.words)
    source, details = "-" if options.prompts is None else options.prompts, {"count": options.count}
    lines = None if options.surface_lines is None else parse_lines(options.surface_lines)
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
