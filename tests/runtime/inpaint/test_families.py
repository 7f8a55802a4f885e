"""Counterfactual families on the bundle that ships: one thing differs, and nothing else."""

import json
from collections import defaultdict

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from wetgen.runtime.cli import cli

pytestmark = pytest.mark.slow

STAIN = "a brown water stain on a white plaster ceiling"
PUDDLE = "a puddle of water on a wooden floor"


def run(folder, *words, prompts=f"{STAIN}\n{PUDDLE}\n"):
    folder.mkdir(exist_ok=True)
    (folder / "p.txt").write_text(prompts)
    words = ["run", "--prompts", folder / "p.txt", "--out", folder / "out", "--plan", "fast", *words]
    return CliRunner().invoke(cli, [str(word) for word in words])


def rows(folder):
    return [json.loads(line) for line in (folder / "out" / "metadata.jsonl").read_text().splitlines()]


def picture(folder, row, key="file_name"):
    return np.asarray(Image.open(folder / "out" / row[key]))


def families(folder):
    """The rows of each family by member."""
    found = defaultdict(dict)
    for row in rows(folder):
        found[row["counterfactual"]["family"]][row["counterfactual"]["member"]] = row
    return found


@pytest.fixture(scope="module")
def severities(tmp_path_factory):
    folder = tmp_path_factory.mktemp("severities")
    result = run(folder, "--counterfactual", "severity", "--quiet")
    assert result.exit_code == 0, result.output
    return folder


def test_a_family_is_linked_and_shares_its_scene(severities):
    found = families(severities)
    assert set(found) == {"0-0", "0-1"}
    for name, members in found.items():
        assert list(members) == ["clean", *(f"severity {step:g}" for step in (0.2, 0.4, 0.6, 0.8, 1))]
        assert {row["scene"] for row in members.values()} == {name}
    assert [row["severity"] for row in found["0-1"].values() if "severity" in row] == [0.2, 0.4, 0.6, 0.8, 1.0]


def test_the_undamaged_member_shows_nothing_and_the_others_grow(severities):
    for members in families(severities).values():
        areas = [(picture(severities, row, "mask_file_name") > 0).mean() for row in members.values()]
        assert areas[0] == 0 and areas[1] > 0
        assert areas == sorted(areas)


def test_outside_the_painted_regions_a_family_is_equal_to_the_byte(severities):
    for members in families(severities).values():
        clean = picture(severities, members["clean"])
        for row in list(members.values())[1:]:
            free = np.ones(clean.shape[:2], bool)
            for painted in row["painted"]:
                left, top, width, height = painted.get("grown_to", painted["box"])
                free[top : top + height, left : left + width] = False
            image = picture(severities, row)
            assert np.array_equal(image[free], clean[free]) and not np.array_equal(image, clean)


def test_captions_say_how_severe_it_is(severities):
    texts = [row["text"] for row in families(severities)["0-0"].values()]
    assert texts[:3] == [
        "a surface without damage",
        "a slight brown water stain on a white plaster ceiling",
        "a moderate brown water stain on a white plaster ceiling",
    ]


@pytest.mark.parametrize("index", [0, 3, 11])
def test_a_member_is_made_again_from_its_row(severities, index):
    result = CliRunner().invoke(cli, ["reproduce", str(severities / "out"), str(index)])
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[1:] == ["image: equal", "mask: equal", "confidence: equal"]


def test_a_family_does_not_depend_on_its_company(severities, tmp_path):
    result = run(tmp_path, "--counterfactual", "severity", "--quiet", "--batch", 1, prompts=f"{STAIN}\n")
    assert result.exit_code == 0
    for row in rows(tmp_path):
        other = severities / "out" / row["file_name"]
        assert (tmp_path / "out" / row["file_name"]).read_bytes() == other.read_bytes()


def test_with_and_without(tmp_path):
    assert run(tmp_path, "--counterfactual", "clean", "--quiet", prompts=f"{STAIN} --severity 0.9\n").exit_code == 0
    clean, damaged = rows(tmp_path)
    assert (picture(tmp_path, clean, "mask_file_name") == 0).all() and clean["class_areas"] == {"background": 1.0}
    assert damaged["severity"] == 0.9 and damaged["class_areas"]["stain"] > 0.02
    assert damaged["boxes"] and (tmp_path / "out" / "boxes.csv").read_text().startswith("file_name,class,x,y,")


def test_one_word_changed_is_the_same_noise(tmp_path):
    result = run(tmp_path, "--counterfactual", "white=grey", "--quiet", prompts=f"{STAIN}\n{STAIN} --seed 5\n")
    assert result.exit_code == 0, result.output
    asked, changed, *with_seed = rows(tmp_path)
    assert changed["text"] == STAIN.replace("white", "grey") and asked["text"] == STAIN
    assert [row["counterfactual"] for row in (asked, changed)] == [
        {"family": "0-0", "member": "as asked"},
        {"family": "0-0", "member": "white=grey"},
    ]
    assert asked.get("number", asked["index"]) == changed["number"] == 0
    assert [row["counterfactual"]["family"] for row in with_seed] == ["5-0", "5-0"]
    assert not np.array_equal(picture(tmp_path, asked), picture(tmp_path, changed))
    again = CliRunner().invoke(cli, ["reproduce", str(tmp_path / "out"), "1"])
    assert again.exit_code == 0, again.output


@pytest.mark.parametrize(
    "kind, prompts, said",
    [
        ("blue", STAIN, "There is no counterfactual 'blue'"),
        ("=grey", STAIN, "There is no counterfactual '=grey'"),
        ("green=grey", STAIN, "line 1: 'green' is not in the prompt"),
        ("severity", f"{STAIN} --severity 0.5", "line 1: A severity is given"),
        ("clean", "a clean white wall", "line 1: A severity is given, and no damage for it"),
        ("clean", f"{STAIN} --photo x.jpg", "line 1: A photograph has no counterfactual"),
        ("white=grey", f"{STAIN} --photo x.jpg", "line 1: A photograph has no counterfactual"),
    ],
)
def test_what_is_no_family_is_refused(tmp_path, bundle_folder, kind, prompts, said):
    more = "--bundle", bundle_folder, "--plan", "two", "--truncate"
    result = run(tmp_path, "--counterfactual", kind, *more, prompts=f"{prompts}\n")
    assert result.exit_code == 1 and said in result.output and "fix: " in result.output
    assert not (tmp_path / "out").exists()
