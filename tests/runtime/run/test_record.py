"""What decides a run's pairs, in run.json and back: only the same run is continued."""

import json
from dataclasses import replace

import pytest

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.masks.cleanup import MaskCleanup
from wetgen.runtime.run.filters import Filter
from wetgen.runtime.run.record import RunConfig, check_same, new_record

SETTINGS = RunConfig(
    bundle_sha256="b",
    prompts=2,
    prompts_sha256="p",
    seed=3,
    plan="four",
    guidance=2.5,
    negative="",
    filter=Filter(keep_layout=0.5, refuse_copies=False),
    tidy=MaskCleanup(least_region=9, ignore_below=0.4),
    task={"size": [48, 40], "surface_lines": "floor=0.8"},
)


def stored(settings):
    return json.loads(json.dumps(new_record(settings, {"batch": 4})))


def test_settings_come_back_from_run_json():
    assert RunConfig.from_json(stored(SETTINGS)["settings"]) == SETTINGS


def test_every_value_stands_by_its_name(tmp_path):
    flat = SETTINGS.flat()
    assert flat["seed"] == 3 and flat["keep_layout"] == 0.5 and flat["least_region"] == 9
    assert flat["size"] == [48, 40] and flat["surface_lines"] == "floor=0.8"
    assert not {"filter", "tidy", "task"} & set(flat)


def test_the_same_settings_are_the_same_run(tmp_path):
    check_same(tmp_path, stored(SETTINGS), SETTINGS)


@pytest.mark.parametrize(
    "change, said",
    [
        ({"tidy": MaskCleanup(least_region=8, ignore_below=0.4)}, "least_region was 9 and is 8"),
        ({"tidy": MaskCleanup()}, "least_region was 9 and is 0; ignore_below was 0.4 and is None"),
        ({"filter": Filter(keep_layout=0.6, refuse_copies=False)}, "keep_layout was 0.5 and is 0.6"),
        ({"task": {"size": [48, 48], "surface_lines": "floor=0.8"}}, "size was [48, 40] and is [48, 48]"),
        ({"task": {"size": [48, 40]}}, "surface_lines was 'floor=0.8' and is None"),
        ({"task": {**SETTINGS.task, "photos": "x"}}, "photos was None and is 'x'"),
    ],
)
def test_what_differs_is_named(tmp_path, change, said):
    with pytest.raises(WetgenError, match="holds another run") as caught:
        check_same(tmp_path, stored(SETTINGS), replace(SETTINGS, **change))
    assert caught.value.why == f"{said}."


def test_a_run_from_before_masks_were_tidied_had_none_of_it(tmp_path):
    old = stored(replace(SETTINGS, tidy=MaskCleanup(), task={}))
    for name in ("tidy", "task"):
        del old["settings"][name]
    assert RunConfig.from_json(old["settings"]) == replace(SETTINGS, tidy=MaskCleanup(), task={})
    check_same(tmp_path, old, replace(SETTINGS, tidy=MaskCleanup(), task={}))
    with pytest.raises(WetgenError, match="holds another run"):
        check_same(tmp_path, old, SETTINGS)
