"""`wetgen prompts check`: what a prompts file would draw, and what of it a bundle cannot do.

`wetgen doctor`: what this machine offers, and why what is missing is missing.
"""

import os
import platform
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from itertools import count, islice
from typing import NamedTuple

from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.bundle.tokenizer import PromptTokenizer, PromptTooLong
from wetgen.runtime.errors import WetgenError, suggestion
from wetgen.runtime.files import usable_cores
from wetgen.runtime.prompts.lines import PromptLine, PromptRequest
from wetgen.runtime.prompts.mentions import mentioned_classes
from wetgen.runtime.prompts.quota import LineShare
from wetgen.runtime.prompts.read import PromptFile, resolve
from wetgen.runtime.sampling.generator import check_guidance, check_negative

MOST_EXPANSIONS = 20_000  # that are looked at: a few seconds
SHOWN = 3  # expansions of each line
NO_DAMAGE = "no damage"


def bundle_faults(lines: Iterable[PromptLine], names: str, source: str, bundle: Bundle) -> Iterator[WetgenError]:
    """What the lines ask of a bundle that it has not, and the files they name that are not there."""
    for line in lines:
        for error in _line_faults(line, source, bundle):
            yield WetgenError(f"{names}, line {line.line}: {error.what}", why=error.why, fix=error.fix)


def _line_faults(line: PromptLine, source: str, bundle: Bundle) -> Iterator[WetgenError]:
    plan = None if line.plan is None else bundle.plans.get(line.plan)
    if line.plan is not None and plan is None:
        yield WetgenError(
            f"the bundle has no plan '{line.plan}'.",
            why=f"it holds {', '.join(bundle.plans)}.",
            fix=suggestion(line.plan, bundle.plans),
        )
    try:
        if plan is not None and line.negative:
            check_negative(plan)
        if line.guidance is not None:
            check_guidance(line.guidance, bundle.guidance_range)
    except WetgenError as error:
        yield error
    for name in ("layout", "photo"):
        path = getattr(line, name)
        if path is not None and not os.path.isfile(resolve(path, source)):  # pathlib's raises for names too long
            yield WetgenError(
                f"the {name} {path} does not exist.",
                why=f"{resolve(path, source)} is no file; paths are relative to the prompts file's folder.",
                fix="check the path.",
            )


class Expansion(NamedTuple):
    """An ask as it first comes up, and how many pairs of its share differ from it by their number only."""

    share: int
    ask: PromptRequest
    pairs: int


def expansions(asks: PromptFile, shares: Sequence[LineShare]) -> Iterator[Expansion]:
    """The different asks of the shares: the first of every share, then the second of every share, and so on."""
    sizes = [asks.lines[share.i].combinations(share.asked) for share in shares]
    left = list(range(len(shares)))
    for step in count():
        left = [which for which in left if step < min(shares[which].pairs, sizes[which])]
        if not left:
            return
        for which in left:
            place, asked, pairs = shares[which]
            ask = asks.lines[place].request(step, step, asked, asks.words)
            yield Expansion(which, ask, -(-(pairs - step) // sizes[which]))


@dataclass
class Survey:
    """What the pairs of a file show.

    `texts` are the different prompts and negative prompts with the first line that has them, `classes` the pairs of
    each class, `unseen` the pairs among no class because their expansions were too many to look at.
    """

    texts: dict[str, int] = field(default_factory=dict)
    classes: Counter[str] = field(default_factory=Counter)
    looked_at: int = 0
    unseen: int = 0
    capped: bool = False


def survey(asks: PromptFile, most: int = MOST_EXPANSIONS) -> Survey:
    """Look at every different ask, at `most` of them, which lines and classes share evenly."""
    seen, shares = Survey(), asks.shares()
    left = [share.pairs for share in shares]
    different = expansions(asks, shares)
    for which, ask, pairs in islice(different, most):
        seen.looked_at += 1
        seen.texts.setdefault(ask.text, ask.line)
        if ask.negative is not None:
            seen.texts.setdefault(ask.negative, ask.line)
        seen.classes[_class_of(ask, asks)] += pairs
        left[which] -= pairs
    seen.capped = next(different, None) is not None
    for share, pairs in zip(shares, left, strict=True):
        known = asks.lines[share.i].classes if share.asked is None else (share.asked,)
        if len(known) == 1:
            seen.classes[known[0]] += pairs
        else:
            seen.unseen += pairs
    return seen


def _class_of(ask: PromptRequest, asks: PromptFile) -> str:
    named = mentioned_classes(ask.text, asks.words) if ask.asked is None else (ask.asked,)
    return " + ".join(named) or NO_DAMAGE


def cuts(seen: Survey, names: str, bundle: Bundle) -> Iterator[WetgenError]:
    """The texts that the bundle's text encoder cannot read whole, each with what would be kept and lost."""
    tokenizer = PromptTokenizer(bundle.tokenizer_file, bundle.sizes.tokens)
    for text, line in seen.texts.items():
        try:
            tokenizer.encode([text])
        except PromptTooLong as error:
            yield WetgenError(f"{names}, line {line}: {error.what}", why=error.why, fix=error.fix)


def report(asks: PromptFile, seen: Survey) -> Iterator[str]:
    """For people: every line with its pairs, its options and its first expansions, then the pairs of each class."""
    yield f"{asks.names}: {_many(len(asks.lines), 'line')}, {_many(len(asks), 'pair')}"
    by_place: dict[int, list[LineShare]] = {}
    for share in asks.shares():
        by_place.setdefault(share.i, []).append(share)
    for place, line in enumerate(asks.lines):
        yield ""
        yield from _about(asks, line, by_place.get(place, []))
    yield ""
    yield "pairs by class"
    width = max(map(len, seen.classes), default=0)
    for name in sorted(seen.classes, key=lambda name: (-seen.classes[name], name)):
        if seen.classes[name]:
            yield f"  {name:{width}}  {seen.classes[name]:,}"
    if seen.capped:
        yield f"Only {_many(seen.looked_at, 'expansion')} were looked at, the first ones of every line."
    if seen.unseen:
        yield f"The classes of {_many(seen.unseen, 'further pair')} were not counted."


def _about(asks: PromptFile, line: PromptLine, shares: Sequence[LineShare]) -> Iterator[str]:
    pairs = sum(share.pairs for share in shares)
    choices = sum(line.combinations(share.asked) for share in shares) if shares else line.combinations()
    options = "".join(f", {said}" for said in said_options(line))
    yield f"line {line.line}: {_many(pairs, 'pair')} of {_many(choices, 'combination')}{options}"
    for expansion in islice(expansions(asks, shares), SHOWN):
        yield f"  {' '.join(expansion.ask.text.split())}"
    if not shares:
        yield "  (draws no class of the quota)"


def said_options(line: PromptLine) -> list[str]:
    """The options that a line sets, such as "count 3", in the grammar's order."""
    said: list[tuple[str, object]] = [
        ("count", None if line.count == 1 else line.count),
        ("seed", line.seed),
        ("negative", None if line.negative is None else f'"{line.negative}"'),
        ("guidance", line.guidance),
        ("plan", line.plan),
        ("class", "|".join(line.classes) or None),
        ("severity", line.severity),
        ("layout", line.layout),
        ("photo", line.photo),
    ]
    return [
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in said
        if value is not None
    ]


def _many(number: int, thing: str) -> str:
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


_PACKAGES = ("wetgen", "numpy", "pillow", "click", "tokenizers")


class Finding(NamedTuple):
    """One line of the table."""

    subject: str
    good: bool
    text: str


def examine() -> Iterator[Finding]:
    """Everything that a run depends on, in the order in which it would fail."""
    yield Finding("python", True, f"{platform.python_version()} on {platform.platform()}")
    yield from (_package(name) for name in _PACKAGES)
    yield Finding("cores", True, f"{usable_cores()} usable of {os.cpu_count()}")
    yield Finding("memory", True, _memory())
    yield from _onnxruntime()
    yield _gpu()
    yield _tensorrt()
    yield _bundle()


def render(findings: Iterator[Finding]) -> str:
    """The findings as a table."""
    listed = list(findings)
    width = max(len(finding.subject) for finding in listed)
    return "\n".join(f"{'ok' if good else '--'}  {subject:{width}}  {text}" for subject, good, text in listed)


def _package(name: str) -> Finding:
    try:
        return Finding(name, True, version(name))
    except PackageNotFoundError:
        return Finding(name, False, f"not installed: pip install {name}")


def _memory() -> str:
    try:
        page = os.sysconf("SC_PAGE_SIZE")
        total, free = (page * os.sysconf(name) / 2**30 for name in ("SC_PHYS_PAGES", "SC_AVPHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return "unknown on this system"
    return f"{total:.1f} GiB, {free:.1f} GiB of it free"


def _onnxruntime() -> Iterator[Finding]:
    from wetgen.runtime.engines import ort as engine

    wheels = engine.installed_wheels()
    try:
        ort = engine.import_onnxruntime()
    except WetgenError as error:
        yield Finding("onnxruntime", False, f"{error.why} {error.fix}")
        return
    offered = ", ".join(ort.get_available_providers())
    yield Finding("onnxruntime", len(wheels) == 1, f"{ort.__version__} from {' and '.join(wheels)}: {offered}")
    for device in engine.PROVIDERS:
        yield _device(device)


def _device(device: str) -> Finding:
    """Try the device for real: a provider may be in the build and yet not load."""
    from wetgen.runtime.engines import ort as engine

    try:
        engine.try_device(device)
    except WetgenError as error:
        return Finding(device, False, f"{error.why} {error.fix}")
    return Finding(device, True, "usable")


def _gpu() -> Finding:
    """What CUDA finds, through cuda-python; it is what keeps arrays on the GPU."""
    from wetgen.runtime.engines import cuda

    try:
        cuda.require_cuda()
        gpu = cuda.current_gpu()
        free = cuda.free_memory(gpu)
    except WetgenError as error:
        return Finding("cuda-python", False, f"{error.what} {error.why} {error.fix}")
    shared = ", shared with the host" if gpu.integrated else ""
    sizes = f"{gpu.total_memory / 2**30:.1f} GiB{shared}, {free / 2**30:.1f} GiB of it free"
    return Finding("cuda-python", True, f"{gpu}, {sizes}")


def _tensorrt() -> Finding:
    from wetgen.runtime.engines.trt import require_tensorrt

    try:
        found = require_tensorrt()
    except WetgenError as error:
        return Finding("tensorrt", False, f"{error.what} {error.why} {error.fix}")
    return Finding("tensorrt", True, f"{found}: build engines with `wetgen build`")


def _bundle() -> Finding:
    from wetgen.runtime.bundle.bundle import open_bundle

    try:
        bundle = open_bundle(None)
    except WetgenError as error:
        return Finding("bundle", False, f"{error.what} {error.why} {error.fix}")
    return Finding("bundle", True, f"{bundle.folder}, every file verified")
