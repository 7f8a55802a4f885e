"""`wetgen run --layouts DIR`: every mask of a folder is shown by as many pairs, each with a prompt that fits it."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import numpy as np

from wetgen.runtime.bundle.bundle import Bundle, check_layouts
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import os_errors
from wetgen.runtime.layouts.write import SHEET_NAME
from wetgen.runtime.masks.classes import unknown_ids
from wetgen.runtime.masks.images import read_mask
from wetgen.runtime.prompts.lines import PromptRequest
from wetgen.runtime.prompts.mentions import mentioned_classes
from wetgen.runtime.run.tasks import NO_LINE

SUFFIX = ".png"


def layout_requests(
    folder: Path, bundle: Bundle, count: int, prompts: Sequence[PromptRequest] | None
) -> list[PromptRequest]:
    """`count` asks for every mask in a folder, in the order of their names.

    Each takes its turn of the `prompts` that ask for just the classes in the mask; with None the prompt is those
    classes' words, or that of an undamaged surface. Raises WetgenError for a mask that is none, for one whose classes
    no prompt asks for, and for a prompt that has a layout of its own.
    """
    check_layouts(bundle)
    masks = {path: _classes_in(path, bundle) for path in mask_files(folder)}
    if prompts is None:
        fitting = {names: [PromptRequest(NO_LINE, _words(names, bundle), 0)] for names in masks.values()}
    else:
        fitting = _by_classes(prompts, bundle)
    for path, names in masks.items():
        if names not in fitting:
            raise _no_prompt(path, names)
    turns = {names: cycle(asks) for names, asks in fitting.items()}
    files = [(str(path.absolute()), names) for path, names in masks.items()] * count
    # Numbered by the layouts' order, so that a seed of the prompt's own gives each another picture.
    return [replace(next(turns[names]), layout=file, number=number) for number, (file, names) in enumerate(files)]


def mask_files(folder: Path) -> list[Path]:
    """The PNG files of a folder, by name, but for the sheet that `wetgen layouts` puts beside them.

    Raises WetgenError when there are none.
    """
    with os_errors(folder, "read"):
        files = (path for path in folder.iterdir() if path.name != SHEET_NAME)
        found = sorted(path for path in files if path.suffix.lower() == SUFFIX and path.is_file())
    if not found:
        raise WetgenError(
            f"{folder} holds no layouts.",
            why=f"no {SUFFIX} file lies directly in it.",
            fix="put masks of class ids there, one a file, or draw some: wetgen layouts --out DIR --count 20",
        )
    return found


def _classes_in(path: Path, bundle: Bundle) -> tuple[str, ...]:
    assert bundle.classes is not None  # check_layouts has seen to it
    mask = read_mask(path)
    fault = unknown_ids(mask, bundle.classes, str(path))
    if fault is not None:
        raise fault
    return tuple(bundle.classes.names[int(class_id)] for class_id in np.unique(mask) if class_id)


def _by_classes(prompts: Sequence[PromptRequest], bundle: Bundle) -> dict[tuple[str, ...], list[PromptRequest]]:
    """The prompts by the classes that they are about, which stand in the order of the class table."""
    assert bundle.classes is not None
    found: dict[tuple[str, ...], list[PromptRequest]] = {}
    for ask in prompts:
        if ask.layout is not None:
            raise WetgenError(
                f"Line {ask.line} of the prompts has the layout {ask.layout}, and --layouts gives others.",
                why="a pair shows one layout.",
                fix="leave out one of the two.",
            )
        asked = (ask.asked,) if ask.asked is not None else mentioned_classes(ask.text, bundle.words)
        found.setdefault(tuple(name for name in bundle.classes.names if name in asked), []).append(ask)
    return found


def _words(names: tuple[str, ...], bundle: Bundle) -> str:
    words = [bundle.words[name][0] if bundle.words.get(name) else name for name in names]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words) or "an undamaged wall"


def _no_prompt(path: Path, names: tuple[str, ...]) -> WetgenError:
    shown = " and ".join(names) or "no damage"
    return WetgenError(
        f"No prompt fits the layout {path}.",
        why=f"it shows {shown}, and no prompt asks for just that.",
        fix="add such a prompt, or leave --prompts out: then a layout's classes are its prompt.",
    )
