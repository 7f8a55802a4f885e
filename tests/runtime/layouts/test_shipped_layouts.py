"""The bundle that ships shows the layouts it is given, at its own size and on a canvas of several windows."""

import numpy as np
import pytest

from wetgen.runtime.bundle.bundle import open_bundle
from wetgen.runtime.layouts.layout import random_layout
from wetgen.runtime.run.tasks import layout_agreement
from wetgen.runtime.sampling.generator import Generator

PROMPTS = {
    "stain": "a brown water stain on a white ceiling",
    "mold": "black mold on a wall",
    "peeling": "peeling paint on a wall",
    "puddle": "a puddle on a floor",
    "lifted": "lifted floor boards",
    "efflorescence": "white efflorescence on a brick wall",
}


@pytest.fixture(scope="module")
def generator():
    with Generator(open_bundle(None), batch=2, threads=2) as generator:
        yield generator


def agreements(generator, names, size, **options):
    """How far the masks of pairs drawn for layouts of these classes agree with them."""
    bundle = generator.bundle
    shape = size[::-1]
    layouts = [
        random_layout(1, number, shape, [name], bundle.mask_statistics, bundle.classes, 0.6)
        for number, name in enumerate(names)
    ]
    pairs = generator.generate([PROMPTS[name] for name in names], layouts=layouts, size=size, **options)
    return [layout_agreement(pair.mask, layout) for pair, layout in zip(pairs, layouts, strict=True)]


def test_masks_agree_with_their_layouts(generator):
    """On nine tenths of the pixels on average, and on more than half of what either calls damage: measured 0.93, and
    0.63 to 0.90. A mask that shows nothing would agree on 0.78 of the pixels, and on no damage."""
    found = agreements(generator, list(PROMPTS), (128, 128))
    assert np.mean([each["layout_agreement"] for each in found]) >= 0.9
    assert min(each["layout_iou"] for each in found) > 0.5


def test_masks_agree_with_their_layouts_where_windows_meet(generator):
    """Two by three windows; measured 0.97 and 0.98 of the pixels, 0.87 and 0.93 of the damage."""
    found = agreements(generator, ["stain", "puddle"], (192, 160), plan="fast")
    assert min(each["layout_agreement"] for each in found) >= 0.9
    assert min(each["layout_iou"] for each in found) > 0.5
