"""A bundle's statistics of masks: read, absent in older bundles, refused when they cannot be."""

import json
import shutil

import pytest

from wetgen.runtime.bundle.archive import JSON_NAME
from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.masks.classes import TYPICAL


@pytest.fixture
def copy(bundle_folder, tmp_path):
    return shutil.copytree(bundle_folder, tmp_path / "bundle")


def state(folder, statistics) -> None:
    info = json.loads((folder / JSON_NAME).read_text())
    (folder / JSON_NAME).write_text(json.dumps({**info, "mask_statistics": statistics}))


def test_an_older_bundle_has_none(bundle):
    assert bundle.mask_statistics == {}


def test_they_are_read_by_class_name(copy):
    state(copy, {"stain": TYPICAL.to_json()})
    assert Bundle.open(copy).mask_statistics == {"stain": TYPICAL}


def test_the_one_that_ships_knows_every_class():
    from wetgen.runtime.bundle.bundle import open_bundle

    shipped = open_bundle(None)
    assert tuple(shipped.mask_statistics) == shipped.classes.names[1:]
    assert min(figures.pairs for figures in shipped.mask_statistics.values()) > 100
    thin = {name: figures.thickness[2] for name, figures in shipped.mask_statistics.items()}
    assert min(thin, key=thin.get) == "crack" and thin["crack"] < 0.3 * thin["mold"]


@pytest.mark.parametrize("stated", [[], {"puddle": TYPICAL.to_json()}, {"stain": {"pairs": 1}}, {"background": {}}])
def test_statistics_that_cannot_be_are_refused(copy, stated):
    state(copy, stated)
    with pytest.raises(WetgenError, match="is not a bundle description"):
        Bundle.open(copy)
