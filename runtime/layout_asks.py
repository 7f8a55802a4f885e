"""`wetgen run --layouts DIR`: every mask of a folder is shown by as many pairs, each with a prompt that fits it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from wetgen.runtime.asked import asked_classes
from wetgen.runtime.bundle import Bundle
from wetgen.runtime.dataset import unknown_ids
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import os_errors
from wetgen.runtime.layouts import check_layouts
from wetgen.runtime.pictures import read_mask
from wetgen.runtime.prompts import Ask

SUFFIX = ".png"


def layout_asks(folder: Path, bundle: Bundle, count: int, prompts: Sequence[Ask] | None) -> list[Ask]:
    """`count` asks for every mask in a folder, in the order of their names.

    Each takes its turn of the `prompts` that ask for just the classes in the mask; with None the prompt is those
    classes' words, or that of an undamaged surface. Raises WetgenError for a mask that is none, and for one whose
    classes no prompt asks for.
    """
    check_layouts(bundle)
    masks = {path: _classes_in(path, bundle) for path in mask_files(folder)}
    if prompts is None:
        made = [Ask(number, _words(names, bundle), 0) for number, names in enumerate(masks.values(), 1)]
        fitting = {names: [ask] for names, ask in zip(masks.values(), made, strict=True)}
    else:
        fitting = {names: [ask for ask in prompts if _names(ask, bundle) == names] for names in masks.values()}
    turns = dict.fromkeys(fitting, 0)
    asks: list[Ask] = []
    for repeat in range(count):
        for path, names in masks.items():
            if not fitting[names]:
                raise _no_prompt(path, names)
            ask = fitting[names][turns[names] % len(fitting[names])]
            turns[names] += 1
            # The number is told by the layouts' order, so a seed of the prompt's own gives each another picture.
            asks.append(replace(ask, layout=str(path.absolute()), number=repeat * len(masks) + len(asks) % len(masks)))
    return asks


def mask_files(folder: Path) -> list[Path]:
    """The PNG files of a folder, by name; raises WetgenError when there are none."""
    with os_errors(folder, "read"):
        found = sorted(path for path in folder.iterdir() if path.suffix.lower() == SUFFIX and path.is_file())
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


def _names(ask: Ask, bundle: Bundle) -> tuple[str, ...]:
    """The classes that an ask is about, in the order of the class table."""
    assert bundle.classes is not None
    asked = (ask.asked,) if ask.asked is not None else asked_classes(ask.text, bundle.words)
    return tuple(name for name in bundle.classes.names if name in asked)


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
