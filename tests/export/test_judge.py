"""A judge added to a bundle sees what its segmenter sees, or is not added."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from wetgen.export import judge as module
from wetgen.export.copies import CopyCheck
from wetgen.export.judge import Judge, JudgeGraph, add_judge, seen
from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.bundle.describe import describe_bundle
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.masks.classes import ClassTable
from wetgen.runtime.run.fingerprints import Fingerprints, fingerprint
from wetgen.runtime.sampling.generator import Generator

TABLE = ClassTable(("background", "crack", "stain"))
EXAMPLES = np.random.default_rng(1).integers(0, 256, (4, 32, 32, 3)).astype(np.uint8)


class Segmenter(nn.Module):
    """One convolution that sees colour and neighbours, of any size."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.layer = nn.Conv2d(3, len(TABLE), 3, padding=1).requires_grad_(False)
        self.layer.weight *= 8
        self.dropout = nn.Dropout(0.5)  # a module handed over in training mode must be exported as it predicts

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.layer(self.dropout(image)), 1)


def judge(size: int = 32, **changed: object) -> Judge:
    made = Judge(Segmenter(), TABLE, size, ("crack", "stain"), {"trained_on": "photographs", "keep_agreement": 0.25})
    return replace(made, **changed)  # type: ignore[arg-type]


def copies(most_bits: int = 20) -> CopyCheck:
    return CopyCheck(Fingerprints(fingerprint(EXAMPLES), most_bits), {"copies_found": 1.0})


@pytest.mark.parametrize("size", [32, 16, 8])
def test_the_runtime_sees_what_the_segmenter_sees(pair_bundle: Bundle, tmp_path: Path, size: int):
    added = judge(size)
    parity = add_judge(pair_bundle.folder, tmp_path / "judged", added, EXAMPLES)
    assert parity["mask_disagreement"] <= 0.005 and parity["confidence_bytes"] <= 2
    bundle = Bundle.open(tmp_path / "judged")
    found = Generator(bundle, batch=3).judge(EXAMPLES)
    expected = seen(added, 32 // size, EXAMPLES)
    assert len(np.unique(found["judged"])) == 3  # a judge that sees one class everywhere would prove nothing
    np.testing.assert_array_equal(found["judged"], expected["mask"])
    # float32 sums in another order, then rounded to a byte
    assert np.abs(found["judge_confidence"].astype(int) - expected["confidence"]).max() <= 1


def test_a_smaller_judge_gets_the_mean_of_each_square_and_is_enlarged_between_pixel_centres():
    """Textbook values: means of 2 x 2, then 3/4 and 1/4 of two neighbours."""

    class Brightness(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return torch.cat([1 - image[:, :1], image[:, :1]], 1)

    image = np.zeros((1, 4, 4, 3), np.uint8)
    image[0, :, 2:] = [[[200], [100]]] * 4  # columns of brightness 0, 0, 200, 100: means 0 and 150
    mask, confidence = JudgeGraph(Brightness(), 2)(torch.from_numpy(image))
    bright = np.array([0, 37.5, 112.5, 150])
    np.testing.assert_array_equal(mask[0], np.tile(bright > 127.5, (4, 1)))
    np.testing.assert_array_equal(confidence[0], np.tile(np.rint(np.maximum(bright, 255 - bright)), (4, 1)))


def test_everything_else_of_the_bundle_stays_as_it_was(pair_bundle: Bundle, tmp_path: Path):
    add_judge(pair_bundle.folder, tmp_path / "judged", judge(), EXAMPLES, copies=copies())
    bundle = Bundle.open(tmp_path / "judged")
    added = {"judge.onnx", "fingerprints.bin"}
    assert bundle.info["files"].keys() - pair_bundle.info["files"].keys() == added
    for name, file in pair_bundle.info["files"].items():
        assert bundle.info["files"][name] == file
    for key in pair_bundle.info.keys() - {"files", "graphs"}:
        assert bundle.info[key] == pair_bundle.info[key]
    assert {**pair_bundle.info["graphs"], "judge": bundle.info["graphs"]["judge"]} == bundle.info["graphs"]
    (one,), (other,) = (Generator(which, batch=1).generate(["a crack"]) for which in (pair_bundle, bundle))
    np.testing.assert_array_equal(one.image, other.image)


def test_what_is_known_of_the_judge_is_stated_and_shown(pair_bundle: Bundle, tmp_path: Path):
    add_judge(pair_bundle.folder, tmp_path / "judged", judge(16), EXAMPLES, copies=copies(13))
    bundle = Bundle.open(tmp_path / "judged")
    stated = bundle.info["judge"]
    assert stated["classes"] == ["crack", "stain"] and stated["size"] == 16 and stated["keep_agreement"] == 0.25
    assert stated["parity"].keys() == {"mask_disagreement", "confidence_bytes"}
    assert bundle.judge_knows == ("crack", "stain")
    assert bundle.fingerprints is not None and bundle.fingerprints.most_bits == 13 and bundle.fingerprints.count == 4
    assert Fingerprints.read(bundle.fingerprints).nearest(EXAMPLES[2][:, ::-1]) == (0, 2)
    said = describe_bundle(bundle)
    assert "keep_agreement: 0.25" in said and "copies_found: 1" in said and "judge: judge.onnx" in said


def test_a_judge_is_replaced_and_fingerprints_stay_unless_new_ones_come(pair_bundle: Bundle, tmp_path: Path):
    folder = tmp_path / "judged"
    add_judge(pair_bundle.folder, folder, judge(), EXAMPLES, copies=copies())
    first = Bundle.open(folder)
    (folder / "engines").mkdir()
    (folder / "engines" / "denoise.engine").write_bytes(b"built")
    add_judge(folder, folder, judge(module=Segmenter(seed=3), classes=("crack",)), EXAMPLES, force=True)
    second = Bundle.open(folder)
    assert second.judge_knows == ("crack",) and second.info["fingerprints"] == first.info["fingerprints"]
    assert second.info["files"]["judge.onnx"] != first.info["files"]["judge.onnx"]
    assert second.info["files"].keys() == first.info["files"].keys()
    assert (folder / "engines" / "denoise.engine").read_bytes() == b"built"
    add_judge(folder, folder, judge(), EXAMPLES, copies=copies(5), force=True)
    third = Bundle.open(folder)
    assert third.fingerprints is not None and third.fingerprints.most_bits == 5
    assert [path.name for path in tmp_path.iterdir()] == ["judged"]


@pytest.mark.parametrize(
    "changed, said",
    [
        ({"table": ClassTable(("background", "stain", "crack"))}, "its classes are background, stain, crack"),
        ({"classes": ()}, "it is said to know no class"),
        ({"classes": ("mold",)}, "it is said to know mold"),
        ({"size": 64}, "it looks at 64 pixels a side; the bundle draws 32 x 32"),
        ({"size": 24}, "it looks at 24 pixels a side"),
        ({"info": {"iou": float("nan")}}, "figures that are no numbers"),
    ],
)
def test_a_judge_that_does_not_fit_is_refused_and_nothing_is_written(
    pair_bundle: Bundle, tmp_path: Path, changed: dict[str, object], said: str
):
    with pytest.raises(WetgenError, match=said):
        add_judge(pair_bundle.folder, tmp_path / "judged", judge(**changed), EXAMPLES)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_a_graph_that_sees_something_else_is_refused_and_nothing_is_written(
    pair_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Each of these is a way in which the graph could differ from the segmenter."""
    forward = JudgeGraph.forward

    def run(self: JudgeGraph, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return forward(self, image)

    def flipped(self: JudgeGraph, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return run(self, image.flip(3))

    def darker(self: JudgeGraph, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return run(self, image // 2)

    def unsure(self: JudgeGraph, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mask, confidence = run(self, image)
        return mask, confidence // 2

    for wrong in (flipped, darker, unsure):
        monkeypatch.setattr(JudgeGraph, "forward", wrong)
        with pytest.raises(WetgenError, match="does not see what its segmenter sees"):
            add_judge(pair_bundle.folder, tmp_path / "judged", judge(16), EXAMPLES)
        assert not list(tmp_path.iterdir())


def test_a_failure_leaves_the_bundle_that_stood_there(
    pair_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = shutil.copytree(pair_bundle.folder, tmp_path / "bundle")

    def other(judge: Judge, factor: int, images: NDArray[np.uint8]) -> dict[str, NDArray[np.uint8]]:
        found = seen(judge, factor, images)
        return {**found, "mask": 2 - found["mask"]}

    monkeypatch.setattr(module, "seen", other)
    with pytest.raises(WetgenError, match="mask_disagreement is"):
        add_judge(folder, folder, judge(), EXAMPLES, force=True)
    assert Bundle.open(folder).hash == pair_bundle.hash and [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_nothing_is_replaced_unasked(pair_bundle: Bundle, tmp_path: Path):
    folder = shutil.copytree(pair_bundle.folder, tmp_path / "bundle")
    with pytest.raises(WetgenError, match="a bundle is there already"):
        add_judge(pair_bundle.folder, folder, judge(), EXAMPLES)
    (tmp_path / "precious").mkdir()
    with pytest.raises(WetgenError, match="it is no bundle"):
        add_judge(pair_bundle.folder, tmp_path / "precious", judge(), EXAMPLES, force=True)


def test_a_damaged_bundle_gets_no_judge(pair_bundle: Bundle, tmp_path: Path):
    folder = shutil.copytree(pair_bundle.folder, tmp_path / "bundle")
    (folder / "decode.onnx").write_bytes(b"")
    with pytest.raises(WetgenError, match="has 0 bytes"):
        add_judge(folder, tmp_path / "judged", judge(), EXAMPLES)
    assert not (tmp_path / "judged").exists()


def test_the_graph_is_standard_and_names_no_path_of_the_machine(pair_bundle: Bundle, tmp_path: Path):
    add_judge(pair_bundle.folder, tmp_path / "judged", judge(16), EXAMPLES)
    data = (tmp_path / "judged" / "judge.onnx").read_bytes()
    assert str(Path(module.__file__).parents[1]).encode() not in data and b"site-packages" not in data
    declared = json.loads((tmp_path / "judged" / "bundle.json").read_text())["graphs"]["judge"]
    assert [tensor["name"] for tensor in declared["outputs"]] == ["mask", "confidence"]
