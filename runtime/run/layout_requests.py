"""`wetgen run --layouts DIR`: every mask of a folder is shown by as many pairs, each with a prompt that fits it."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import numpy as np

from wetgen.runtime.bundle.bundle import Bundle, check_layouts
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import os_errors
from wetgen.runtime.inpaint.damage import class_prompt
from wetgen.runtime.layouts.write import SHEET_NAME
from wetgen.runtime.masks.classes import unknown_ids
from wetgen.runtime.masks.images import read_mask
from wetgen.runtime.prompts.lines import PromptRequest
from wetgen.runtime.prompts.text import mentioned_classes
from wetgen.runtime.run.tasks import NO_LINE

SUFFIX = ".png"


def layout_requests(
    folder: Path, bundle: Bundle, count: int, prompts: Sequence[PromptRequest] | None
) -> list[PromptRequest]:
    """`count` requests for every mask in a folder, in the order of their names.

    The masks of some classes take turns with the `prompts` that ask for just these classes; with None the prompt is
    those classes' words, or that of an undamaged surface. Raises WetgenError for a file that is not a mask, for a mask
    whose classes no prompt asks for, and for a prompt that has a layout of its own.
    """
    check_layouts(bundle)
    masks = {path: _classes_in(path, bundle) for path in mask_files(folder)}
    if prompts is None:
        fitting = {names: [PromptRequest(NO_LINE, _words(names, bundle), 0)] for names in masks.values()}
    else:
        fitting = _by_classes(prompts, bundle)
    for path, names in masks.items():
        if names not in fitting:
            raise WetgenError(
                f"No prompt fits the layout {path}.",
                why=f"it shows {' and '.join(names) or 'no damage'}, and no prompt asks for just that.",
                fix="add such a prompt, or leave --prompts out: then a layout's classes are its prompt.",
            )
    turns = {names: cycle(requests) for names, requests in fitting.items()}
    files = [(str(path.absolute()), names) for path, names in masks.items()] * count
    # Numbered by the layouts' order, so that a prompt with its own seed gives each layout another picture.
    return [replace(next(turns[names]), layout=file, number=number) for number, (file, names) in enumerate(files)]


def mask_files(folder: Path) -> list[Path]:
    """The PNG files of a folder, by name, without the sheet of `wetgen layouts`; raises WetgenError if it has none."""
    with os_errors(folder, "read"):
        files = (path for path in folder.iterdir() if path.name != SHEET_NAME)
        found = sorted(path for path in files if path.suffix.lower() == SUFFIX and path.is_file())
    if not found:
        raise WetgenError(
            f"{folder} holds no layouts.",
            why=f"no {SUFFIX} file is directly in it.",
            fix="put masks of class ids into it, one per file, or draw some: wetgen layouts --out DIR --count 20",
        )
    return found


def _classes_in(path: Path, bundle: Bundle) -> tuple[str, ...]:
    assert bundle.classes is not None  # check_layouts has checked it
    mask = read_mask(path)
    fault = unknown_ids(mask, bundle.classes, str(path))
    if fault is not None:
        raise fault
    return tuple(bundle.classes.names[int(class_id)] for class_id in np.unique(mask) if class_id)


def _by_classes(prompts: Sequence[PromptRequest], bundle: Bundle) -> dict[tuple[str, ...], list[PromptRequest]]:
    """The prompts by the classes that they are about, in the order of the class table."""
    assert bundle.classes is not None
    found: dict[tuple[str, ...], list[PromptRequest]] = {}
    for request in prompts:
        if request.layout is not None:
            raise WetgenError(
                f"Line {request.line} of the prompts has the layout {request.layout}, and --layouts gives others.",
                why="a pair shows one layout.",
                fix="leave out one of the two.",
            )
        asked = (request.asked,) if request.asked is not None else mentioned_classes(request.text, bundle.words)
        found.setdefault(tuple(name for name in bundle.classes.names if name in asked), []).append(request)
    return found


def _words(names: tuple[str, ...], bundle: Bundle) -> str:
    words = [class_prompt(name, bundle.words) for name in names]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words) or "an undamaged wall"
