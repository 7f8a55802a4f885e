"""A bundle is verified before anything of it is loaded; each fault has its own words."""

import hashlib
import json
import shutil

import numpy as np
import pytest

from wetgen.runtime.bundle.archive import JSON_NAME
from wetgen.runtime.bundle.bundle import SHIPPED, Bundle, plan_to_json
from wetgen.runtime.bundle.describe import describe_bundle
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.run.fingerprints import Fingerprints


@pytest.fixture
def copy(bundle_folder, tmp_path):
    return shutil.copytree(bundle_folder, tmp_path / "bundle")


def edit(folder, change):
    info = json.loads((folder / JSON_NAME).read_text())
    change(info)
    (folder / JSON_NAME).write_text(json.dumps(info))


def refusal(folder) -> WetgenError:
    with pytest.raises(WetgenError) as caught:
        Bundle.open(folder)
    return caught.value


def test_what_was_written_is_read(bundle, tiny):
    assert bundle.sizes == tiny.SIZES
    assert bundle.classes == tiny.CLASSES
    assert bundle.words["stain"] == ("stain", "water stain")
    assert {name: plan_to_json(plan) for name, plan in bundle.plans.items()} == {
        plan.name: plan_to_json(plan) for plan in tiny.tiny_plans()
    }
    assert list(bundle.plan("two").rows) == [4, 5]
    assert bundle.plan(None).name == "four"


def test_alpha_bar_is_that_of_the_schedule_which_the_plans_were_made_of(bundle, mixed_folder, tiny):
    table = tiny.alphas_cumprod()
    assert bundle.alphas_after(bundle.plan("four")) == [table[749], table[499], table[249], 1.0]
    assert bundle.alphas_after(bundle.plan("two")) == [table[499], 1.0]
    mixed = Bundle.open(mixed_folder)
    for held in (bundle, mixed):
        for plan in held.plans.values():
            alphas = held.alphas_after(plan)
            for step, a_prev in zip(plan.steps, alphas, strict=True):
                a = table[step.timestep]
                keep = np.sqrt(a_prev * a) + np.sqrt((1 - a_prev) * (1 - a))  # of v-prediction
                np.testing.assert_allclose(step.keep, keep, rtol=1e-9)


def test_the_bundle_that_ships_states_the_schedule_of_its_plans():
    shipped = Bundle.open(SHIPPED)
    table = np.array(shipped.info["schedule"]["alphas_cumprod"])
    for plan in shipped.plans.values():
        for step, a_prev in zip(plan.steps, shipped.alphas_after(plan), strict=True):
            a = table[step.timestep]
            keep = np.sqrt(a_prev * a) + np.sqrt((1 - a_prev) * (1 - a))
            np.testing.assert_allclose(step.keep, keep, rtol=1e-6)  # the tables may be float32


def test_a_schedule_that_does_not_end_clean_is_believed(copy, tiny):
    edit(copy, lambda info: info["schedule"].update(ends_clean=False))
    older = Bundle.open(copy)
    assert older.alphas_after(older.plan("two")) == [tiny.alphas_cumprod()[499], tiny.alphas_cumprod()[0]]


@pytest.mark.parametrize(
    "change",
    [
        lambda info: info.pop("schedule"),
        lambda info: info.update(schedule=None),
        lambda info: info["schedule"].pop("alphas_cumprod"),
        lambda info: info["schedule"].pop("ends_clean"),
        lambda info: info["schedule"].update(alphas_cumprod="none"),
        lambda info: info["schedule"].update(alphas_cumprod=[1.0, 0.5]),
        lambda info: info["schedule"].update(alphas_cumprod=0.5),
    ],
)
def test_an_older_bundle_without_its_schedule_draws_but_says_so_where_it_is_needed(copy, change):
    edit(copy, change)
    older = Bundle.open(copy)
    with pytest.raises(WetgenError, match="does not state its noise schedule") as caught:
        older.alphas_after(older.plan(None))
    assert "wetgen-export" in caught.value.fix


def test_a_bundle_of_images_only_has_no_class_table(images_only_folder):
    assert Bundle.open(images_only_folder).classes is None


def test_the_hash_follows_every_byte(bundle, copy):
    assert Bundle.open(copy).hash == bundle.hash
    edit(copy, lambda info: info.update(note="changed"))
    assert Bundle.open(copy).hash != bundle.hash


def test_an_unknown_plan_is_refused_with_the_known_ones(bundle):
    with pytest.raises(WetgenError, match="no plan 'six'") as caught:
        bundle.plan("six")
    assert "four, two" in caught.value.why


@pytest.mark.parametrize("name", ["text.onnx", "denoise.onnx", "decode.onnx", "encode.onnx", "tokenizer.json"])
def test_a_changed_byte_is_found(copy, name):
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    assert refusal(copy).what == f"{copy / name} was changed after export."


def test_a_file_cut_short_is_found(copy):
    data = (copy / "decode.onnx").read_bytes()
    (copy / "decode.onnx").write_bytes(data[:-1])
    error = refusal(copy)
    assert error.what == f"{copy / 'decode.onnx'} has {len(data) - 1} bytes."
    assert error.why == f"it was exported with {len(data)}."


def test_a_missing_file_is_found(copy):
    (copy / "encode.onnx").unlink()
    assert refusal(copy).what == f"{copy / 'encode.onnx'} is missing."


@pytest.mark.parametrize("name", ["denoise.onnx.data", "sub/weights.bin", "notes.txt"])
def test_an_extra_file_is_found(copy, name):
    (copy / name).parent.mkdir(exist_ok=True)
    (copy / name).write_bytes(b"weights")
    assert refusal(copy).what == f"{copy / name} is not part of the bundle."


@pytest.mark.parametrize("name", [".DS_Store", "engines/denoise.engine"])
def test_hidden_files_and_engines_are_left_alone(copy, name):
    (copy / name).parent.mkdir(exist_ok=True)
    (copy / name).write_bytes(b"x")
    Bundle.open(copy)


def test_a_graph_in_a_subfolder_is_found(copy):
    (copy / "graphs").mkdir()
    (copy / "text.onnx").rename(copy / "graphs" / "text.onnx")

    def move(info):
        info["targets"]["cpu"]["graphs"]["text"]["file"] = "graphs/text.onnx"
        info["files"]["graphs/text.onnx"] = info["files"].pop("text.onnx")

    edit(copy, move)
    assert Bundle.open(copy).targets["cpu"].files["text"] == copy / "graphs" / "text.onnx"


# A judge and fingerprints, which a bundle may lack


@pytest.fixture(scope="module")
def judged_folder(tiny, tmp_path_factory):
    known = Fingerprints(np.arange(5 * 32, dtype=np.uint8).reshape(5, 32), 17)
    return tiny.write_bundle(tmp_path_factory.mktemp("judged"), judge=True, known=known)


@pytest.fixture
def judged_copy(judged_folder, tmp_path):
    return shutil.copytree(judged_folder, tmp_path / "judged")


def test_a_bundle_without_judge_and_fingerprints_has_neither(bundle):
    assert not bundle.has_judge and bundle.judge_knows == () and bundle.fingerprints is None
    assert "judge" not in bundle.graphs


def test_a_judge_and_fingerprints_are_read(judged_folder):
    bundle = Bundle.open(judged_folder)
    assert bundle.has_judge and bundle.judge_knows == ("crack", "stain")
    assert bundle.graphs["judge"].outputs[1].name == "confidence"
    file = bundle.fingerprints
    assert (file.path, file.count, file.most_bits) == (judged_folder / "fingerprints.bin", 5, 17)
    assert len(Fingerprints.read(file)) == 5
    said = describe_bundle(bundle)
    assert "judge: judge.onnx" in said and "suggested: 0.25" in said and "most_bits: 17" in said


@pytest.mark.parametrize("name", ["judge.onnx", "fingerprints.bin"])
def test_they_are_verified_as_every_file_is(judged_copy, name):
    data = bytearray((judged_copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (judged_copy / name).write_bytes(data)
    assert refusal(judged_copy).what == f"{judged_copy / name} was changed after export."
    (judged_copy / name).unlink()
    assert refusal(judged_copy).what == f"{judged_copy / name} is missing."


@pytest.mark.parametrize("name", ["judge.onnx", "fingerprints.bin"])
def test_they_need_a_hash_as_every_file_does(judged_copy, name):
    (judged_copy / name).rename(judged_copy / f".{name}")
    edit(judged_copy, lambda info: info["files"].pop(name))
    assert refusal(judged_copy).what == f"{judged_copy / JSON_NAME} states no hash for {name}."


def test_fingerprints_stay_inside_the_folder(judged_copy):
    edit(judged_copy, lambda info: info["fingerprints"].update(file="../fingerprints.bin"))
    assert refusal(judged_copy).what == f"{judged_copy / JSON_NAME} names '../fingerprints.bin'."


def test_a_judge_of_other_sizes_is_refused(judged_copy):
    edit(judged_copy, lambda info: info["graphs"]["judge"]["inputs"][0].update(shape=["B", 64, 64, 3]))
    assert refusal(judged_copy).what.startswith("Graph 'judge'")


@pytest.mark.parametrize("classes", [[], ["puddle"], ["background", "crack"]])
def test_a_judge_of_other_classes_is_refused(judged_copy, classes):
    edit(judged_copy, lambda info: info["judge"].update(classes=classes))
    assert refusal(judged_copy).what == f"The judge of {judged_copy} does not fit the rest of the bundle."


@pytest.mark.parametrize(
    "change",
    [
        lambda info: info.pop("judge"),
        lambda info: info["judge"].pop("classes"),
        lambda info: info["fingerprints"].pop("most_bits"),
        lambda info: info["fingerprints"].update(count="many"),
    ],
)
def test_a_judge_or_fingerprints_that_say_too_little_are_refused(judged_copy, change):
    edit(judged_copy, change)
    assert refusal(judged_copy).what == f"{judged_copy / JSON_NAME} is not a bundle description."


@pytest.mark.parametrize("found", [1, 4, 0, None, "2"])
def test_another_format_is_refused(copy, found):
    edit(copy, lambda info: info.update(format=found))
    error = refusal(copy)
    assert error.what == f"{copy} is a bundle of format {found}."
    assert error.why == "this wetgen reads the formats 2 and 3."


@pytest.mark.parametrize("name", ["../text.onnx", "/etc/passwd", "a/../../b", "..\\text.onnx", ""])
@pytest.mark.parametrize("where", ["graphs", "files"])
def test_a_path_outside_the_folder_is_refused(copy, name, where):
    def change(info):
        if where == "graphs":
            info["targets"]["cpu"]["graphs"]["text"]["file"] = name
        else:
            info["files"][name] = {"bytes": 1, "sha256": ""}

    edit(copy, change)
    error = refusal(copy)
    assert error.what == f"{copy / JSON_NAME} names '{name}'."
    assert error.why == "a bundle may only name files inside its own folder."


def test_weights_outside_the_folder_are_refused(copy):
    edit(copy, lambda info: info["targets"]["cpu"]["graphs"]["text"].update(weights=["../weights.data"]))
    assert refusal(copy).what == f"{copy / JSON_NAME} names '../weights.data'."


def test_a_link_out_of_the_folder_is_refused(copy, bundle_folder):
    (copy / "text.onnx").unlink()
    (copy / "text.onnx").symlink_to(bundle_folder / "text.onnx")
    assert "names 'text.onnx'" in refusal(copy).what


@pytest.mark.parametrize("name", ["text.onnx", "tokenizer.json"])
def test_a_file_without_a_hash_is_refused(copy, name):
    (copy / name).rename(copy / f".{name}")

    def forget(info):
        del info["files"][name]

    edit(copy, forget)
    assert refusal(copy).what == f"{copy / JSON_NAME} states no hash for {name}."


def test_declarations_that_do_not_fit_the_sizes_are_refused(copy):
    edit(copy, lambda info: info["sizes"].update(latent_channels=8))
    assert "does not have the tensors its sizes call for" in refusal(copy).what


def test_a_missing_graph_is_refused(copy):
    edit(copy, lambda info: info["graphs"].pop("encode"))
    assert refusal(copy).what.startswith("Graph 'encode'")


def test_a_target_without_one_of_the_graphs_is_refused(copy):
    edit(copy, lambda info: info["targets"]["cpu"]["graphs"].pop("encode"))
    assert refusal(copy).what == f"{copy} lacks the graphs encode for cpu."


def test_a_bundle_without_targets_is_refused(copy):
    edit(copy, lambda info: info["targets"].clear())
    assert refusal(copy).what == f"{copy} holds no graphs."


def test_a_target_that_this_version_does_not_know_is_refused(copy):
    edit(copy, lambda info: info["targets"].update(jp9=info["targets"]["cpu"]))
    error = refusal(copy)
    assert error.what == f"{copy} holds graphs for a target 'jp9'." and "cpu, cuda, jp6, jp7, trt11" in error.why


def test_targets_share_files_of_weights_and_each_has_its_own_graphs(copy):
    """What an engine file depends on is the graph and every file of its weights."""
    (copy / "weights.float16.data").write_bytes(bytes(64))
    (copy / "text.jp6.onnx").write_bytes((copy / "text.onnx").read_bytes())

    def add(info):
        own = {"file": "text.jp6.onnx", "weights": ["weights.float16.data"], "precision": {"compute": "float16"}}
        graphs = {**info["targets"]["cpu"]["graphs"], "text": own}
        info["targets"]["jp6"] = {"opset": 20, "batches": [1, 2, 4], "graphs": graphs}
        for name in ("weights.float16.data", "text.jp6.onnx"):
            data = (copy / name).read_bytes()
            info["files"][name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}

    edit(copy, add)
    held = Bundle.open(copy).targets["jp6"]
    assert held.batches == (1, 2, 4) and held.precision["text"] == {"compute": "float16"}
    assert held.parts("text") == (copy / "text.jp6.onnx", copy / "weights.float16.data")
    assert held.parts("decode") == (copy / "decode.onnx",)
    edit(copy, lambda info: info["files"].pop("weights.float16.data"))
    (copy / "weights.float16.data").rename(copy / ".weights")
    assert "states no hash for weights.float16.data" in refusal(copy).what


@pytest.mark.parametrize(
    "change",
    [
        lambda info: info["classes"].pop("3"),
        lambda info: info.update(classes=None),
        lambda info: info["words"].update(puddle=["puddle"]),
    ],
)
def test_a_class_table_that_fits_neither_networks_nor_words_is_refused(copy, change):
    edit(copy, change)
    assert refusal(copy).what == f"The class table of {copy} does not fit the rest of the bundle."


def test_a_default_plan_that_is_not_there_is_refused(copy):
    edit(copy, lambda info: info.update(default_plan="six"))
    assert "no plan 'six'" in refusal(copy).what


@pytest.mark.parametrize(
    "change",
    [
        lambda info: info.pop("sizes"),
        lambda info: info["sizes"].update(depth=3),
        lambda info: info.update(plans=[]),
        lambda info: info["files"].update({"text.onnx": "abc"}),
        lambda info: info["files"]["text.onnx"].pop("sha256"),
        lambda info: info.update(targets=["cpu"]),
        lambda info: info["targets"].update(cpu=None),
        lambda info: info["targets"]["cpu"]["graphs"]["text"].pop("file"),
        lambda info: info["targets"]["cpu"]["graphs"]["text"].update(precision="float32"),
        lambda info: info["targets"]["cpu"].update(batches="many"),
        lambda info: info["plans"]["four"]["steps"][0].pop("keep"),
    ],
)
def test_a_description_with_missing_or_extra_keys_is_refused(copy, change):
    edit(copy, change)
    assert refusal(copy).what == f"{copy / JSON_NAME} is not a bundle description."


def test_a_folder_without_description_and_broken_json_are_refused(copy, tmp_path):
    assert refusal(tmp_path).what == f"{tmp_path} is not a bundle."
    (copy / JSON_NAME).write_text("{")
    assert refusal(copy).what == f"{copy / JSON_NAME} cannot be read."
    (copy / JSON_NAME).write_text("[]")
    assert refusal(copy).what == f"{copy} is a bundle of format None."


def test_a_bundle_is_described_in_words(bundle, images_only_folder):
    text = describe_bundle(bundle)
    for said in (bundle.hash, "32 x 32", "crack, stain, mold", "four: 4 steps, the default", "license: CC0-1.0"):
        assert said in text
    assert "pictures without masks" in describe_bundle(Bundle.open(images_only_folder))
