"""`wetgen prompts check`: what a prompts file would draw, and what of it a bundle cannot do.

`wetgen doctor`: what this machine offers, and why something is missing.
"""

import os
import platform
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from itertools import count, islice
from typing import NamedTuple

from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.bundle.tokenizer import PromptTokenizer, PromptTooLong
from wetgen.runtime.errors import WetgenError, suggestion
from wetgen.runtime.files import usable_cores
from wetgen.runtime.prompts.lines import PromptFile, PromptLine, PromptRequest
from wetgen.runtime.prompts.quota import LineShare
from wetgen.runtime.prompts.read import OPTIONS, resolve
from wetgen.runtime.prompts.text import mentioned_classes
from wetgen.runtime.sampling.generator import check_guidance, check_negative

MOST_EXPANSIONS = 20_000  # that are looked at: a few seconds
SHOWN = 3  # expansions of each line
NO_DAMAGE = "no damage"


def bundle_faults(lines: Iterable[PromptLine], names: str, source: str, bundle: Bundle) -> Iterator[WetgenError]:
    """What the lines need and the bundle does not have, and the files they name that do not exist."""
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
                why=f"{resolve(path, source)} is not a file; paths are relative to the prompts file's folder.",
                fix="check the path.",
            )


def expansions(file: PromptFile, shares: Sequence[LineShare]) -> Iterator[tuple[int, PromptRequest, int]]:
    """The different requests of the shares: the first of every share, then the second of every share, and so on.

    Each with the index of its share, and the number of pairs of the share that differ from it by their number only.
    """
    sizes = [file.lines[share.i].combinations(share.asked) for share in shares]
    left = list(range(len(shares)))
    for step in count():
        left = [n for n in left if step < min(shares[n].pairs, sizes[n])]
        if not left:
            return
        for n in left:
            i, asked, pairs = shares[n]
            yield n, file.lines[i].request(step, step, asked, file.words), -(-(pairs - step) // sizes[n])


@dataclass
class Survey:
    """What the pairs of a file show.

    `texts` are the different prompts and negative prompts with the first line that has them, `classes` the pairs of
    each class. `unseen` pairs are counted in no class, because their expansions were too many to look at.
    """

    texts: dict[str, int] = field(default_factory=dict)
    classes: Counter[str] = field(default_factory=Counter)
    looked_at: int = 0
    unseen: int = 0
    capped: bool = False


def survey(file: PromptFile, most: int = MOST_EXPANSIONS) -> Survey:
    """Look at every different request, at `most` of them, which lines and classes share evenly."""
    seen, shares = Survey(), file.shares()
    left = [share.pairs for share in shares]
    different = expansions(file, shares)
    for n, request, pairs in islice(different, most):
        seen.looked_at += 1
        for text in (request.text, request.negative):
            if text is not None:
                seen.texts.setdefault(text, request.line)
        named = mentioned_classes(request.text, file.words) if request.asked is None else (request.asked,)
        seen.classes[" + ".join(named) or NO_DAMAGE] += pairs
        left[n] -= pairs
    seen.capped = next(different, None) is not None
    for share, pairs in zip(shares, left, strict=True):
        known = file.lines[share.i].classes if share.asked is None else (share.asked,)
        if len(known) == 1:
            seen.classes[known[0]] += pairs
        else:
            seen.unseen += pairs
    return seen


def cuts(seen: Survey, names: str, bundle: Bundle) -> Iterator[WetgenError]:
    """The texts that the bundle's text encoder cannot read whole, each with what would be kept and lost."""
    tokenizer = PromptTokenizer(bundle.tokenizer_file, bundle.sizes.tokens)
    for text, line in seen.texts.items():
        try:
            tokenizer.encode([text])
        except PromptTooLong as error:
            yield WetgenError(f"{names}, line {line}: {error.what}", why=error.why, fix=error.fix)


def report(file: PromptFile, seen: Survey) -> Iterator[str]:
    """For people: every line with its pairs, its options and its first expansions, then the pairs of each class."""
    yield f"{file.names}: {_many(len(file.lines), 'line')}, {_many(len(file), 'pair')}"
    shares: dict[int, list[LineShare]] = {}
    for share in file.shares():
        shares.setdefault(share.i, []).append(share)
    for i, line in enumerate(file.lines):
        yield ""
        yield from _about(file, line, shares.get(i, []))
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


def _about(file: PromptFile, line: PromptLine, shares: Sequence[LineShare]) -> Iterator[str]:
    pairs = sum(share.pairs for share in shares)
    combinations = sum(line.combinations(share.asked) for share in shares) if shares else line.combinations()
    options = "".join(f", {option}" for option in _options(line))
    yield f"line {line.line}: {_many(pairs, 'pair')} of {_many(combinations, 'combination')}{options}"
    for _, request, _ in islice(expansions(file, shares), SHOWN):
        yield f"  {' '.join(request.text.split())}"
    if not shares:
        yield "  (draws no class of the quota)"


def _options(line: PromptLine) -> Iterator[str]:
    """The options that a line sets, such as "count 3", in the grammar's order."""
    for name in OPTIONS:
        value = "|".join(line.classes) or None if name == "class" else getattr(line, name)
        if value is not None and (name, value) != ("count", 1):
            text = f"{value:g}" if isinstance(value, float) else f'"{value}"' if name == "negative" else value
            yield f"{name} {text}"


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
    for name in _PACKAGES:
        try:
            yield Finding(name, True, version(name))
        except PackageNotFoundError:
            yield Finding(name, False, f"not installed: pip install {name}")
    yield Finding("cores", True, f"{usable_cores()} usable of {os.cpu_count()}")
    yield Finding("memory", True, _memory())
    yield from _onnxruntime()
    for subject, look in (("cuda-python", _gpu), ("tensorrt", _tensorrt), ("bundle", _bundle)):
        yield _finding(subject, look)


def render(findings: Iterator[Finding]) -> str:
    """The findings as a table."""
    rows = list(findings)
    width = max(len(finding.subject) for finding in rows)
    return "\n".join(f"{'ok' if good else '--'}  {subject:{width}}  {text}" for subject, good, text in rows)


def _finding(subject: str, look: Callable[[], str | None]) -> Finding:
    """What `look` returns ("usable" for None), or what it raises."""
    try:
        return Finding(subject, True, look() or "usable")
    except WetgenError as error:
        return Finding(subject, False, f"{error.what} {error.why} {error.fix}")


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
    # A provider may be in the build and yet not load.
    yield from (_finding(device, partial(engine.try_device, device)) for device in engine.PROVIDERS)


def _gpu() -> str:
    """What CUDA finds, through cuda-python; it is what keeps arrays on the GPU."""
    from wetgen.runtime.engines import cuda

    cuda.require_cuda()
    gpu = cuda.current_gpu()
    shared = ", shared with the host" if gpu.integrated else ""
    return f"{gpu}, {gpu.total_memory / 2**30:.1f} GiB{shared}, {cuda.free_memory(gpu) / 2**30:.1f} GiB of it free"


def _tensorrt() -> str:
    from wetgen.runtime.engines.trt import require_tensorrt

    return f"{require_tensorrt()}: build engines with `wetgen build`"


def _bundle() -> str:
    from wetgen.runtime.bundle.bundle import open_bundle

    return f"{open_bundle(None).folder}, every file verified"
