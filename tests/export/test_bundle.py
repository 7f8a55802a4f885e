"""The bundle as a whole: what it holds, what it measures, and what a failure leaves."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import numpy_helper

from wetgen.export import bundle as bundles
from wetgen.export import verify
from wetgen.export.bundle import Request, export_bundle
from wetgen.export.cli import cli
from wetgen.runtime.bundle.archive import file_sha256
from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.bundle.graphs import Graph
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.sampling.generator import Generator
from wetgen.training.checkpoint import Checkpoint


def test_a_checkpoint_becomes_a_bundle_that_draws_the_same(pair_bundle: Bundle, pair_checkpoint: Path):
    info = pair_bundle.info
    assert pair_bundle.classes == Checkpoint.load(pair_checkpoint).classes
    assert pair_bundle.default_plan == "ddim:3" and pair_bundle.default_guidance == 3.0
    assert pair_bundle.words["stain"] == ("stain",)
    assert info["trained_on"][0]["license"] == "CC0-1.0" and info["training"] == {"seed": 1}
    assert len(info["schedule"]["alphas_cumprod"]) == 1000
    assert set(info["files"]) == {"tokenizer.json", "text.onnx", "denoise.onnx", "decode.onnx", "encode.onnx"}
    assert info["targets"]["cpu"]["measured"]["plans"]["ddim:2"]["least_psnr_db"] >= 45
    assert info["targets"]["cpu"]["measured"]["graphs"]["denoise"]["relative_error"] <= 1e-4


def test_the_second_plan_starts_where_the_first_ends(pair_bundle: Bundle, networks: Checkpoint):
    assert list(pair_bundle.plan("ddim:3").rows) == [0, 1, 2]
    assert list(pair_bundle.plan("ddim:2").rows) == [3, 4]
    assert pair_bundle.plan("ddim:2").steps == networks.schedule.steps(2)


def test_no_file_names_a_path_of_the_machine(pair_bundle: Bundle):
    home = str(Path(bundles.__file__).parents[1]).encode()
    for path in pair_bundle.folder.iterdir():
        data = path.read_bytes()
        assert home not in data and b"site-packages" not in data, path.name


def test_a_stable_diffusion_folder_is_exported_with_float16_weights(picture_checkpoint: Path, tmp_path: Path):
    folder = tmp_path / "sd"
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("wet\nwe wet\n")
    options = ["--plan", "ddim:2", "--weights", "float16", "--prompts", str(prompts)]
    done = CliRunner().invoke(cli, [str(picture_checkpoint), str(folder), *options])
    assert done.exit_code == 0, done.output
    opened = Bundle.open(folder)
    assert opened.classes is None and opened.sizes.conditioning_channels == 0
    assert opened.default_guidance == 7.5 and opened.info["name"] == "sd"
    # scaled_linear, leading, offset 1: 1000 // 2 * [1, 0] + 1, as diffusers' DDIMScheduler has it.
    assert [step.timestep for step in opened.plan("ddim:2").steps] == [501, 1]
    weights = onnx.load(folder / "denoise.onnx").graph.initializer
    assert any(w.data_type == onnx.TensorProto.FLOAT16 for w in weights)
    table = next(w for w in weights if w.name.endswith("table"))
    assert table.data_type == onnx.TensorProto.FLOAT
    (pair,) = Generator(opened, batch=1).generate(["wet"])
    assert pair.mask is None and pair.image.shape == (16, 16, 3)


def test_a_pair_does_not_depend_on_the_batch(pair_bundle: Bundle):
    prompts = ["a crack", "a stain", "a wall"]
    alone = list(Generator(pair_bundle, batch=1).generate(prompts))
    together = list(Generator(pair_bundle, batch=3).generate(prompts))
    for one, other in zip(alone, together, strict=True):
        assert verify.psnr(one.image, other.image) > 60  # sums are ordered differently; a mix-up would give 10


def test_an_output_that_is_not_a_number_is_rejected(pair_bundle: Bundle, networks: Checkpoint):
    graph = pair_bundle.graphs["encode"]
    (case, *_) = bundles.reference.encode_cases(networks.vae, graph, networks.sizes, [])
    case.expected["latent"][0, 0, 0, 0] = np.nan
    with pytest.raises(verify.Rejected, match="relative_error is nan"):
        verify.check_graphs([case], graph, pair_bundle.targets["cpu"].files["encode"], "float32")


def _changed(path: Path, change: Callable[[np.ndarray], np.ndarray], big: int = 4) -> None:
    """Change the first weight matrix of an ONNX file."""
    model = onnx.load(path)
    weight = next(w for w in model.graph.initializer if len(w.dims) == big and w.data_type == onnx.TensorProto.FLOAT)
    weight.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(weight)), weight.name))
    onnx.save(model, path)


@pytest.fixture
def reuse_graphs(monkeypatch: pytest.MonkeyPatch, pair_bundle: Bundle) -> Callable[[str | None], None]:
    """Make exporting copy the graphs of `pair_bundle`, one of them with changed weights: nothing is traced again."""

    def use(spoiled: str | None) -> None:
        def copy(module: Any, graph: Graph, path: Path, weights: Any, store: Any) -> bundles.files.Written:
            shutil.copyfile(pair_bundle.targets["cpu"].files[graph.name], path)
            if graph.name == spoiled:
                _changed(path, lambda weight: 1.05 * weight)
            return bundles.files.Written(path)

        monkeypatch.setattr(bundles.files, "export", copy)

    return use


PLANS = ("ddim:3", "ddim:2")


@pytest.mark.parametrize("graph", ["denoise", "decode", "encode"])
def test_changed_weights_are_rejected_and_leave_nothing_under_the_name(
    graph: str, reuse_graphs: Callable[[str | None], None], pair_checkpoint: Path, tmp_path: Path
):
    reuse_graphs(graph)
    with pytest.raises(verify.Rejected, match=f"graph '{graph}' does not compute"):
        export_bundle(Checkpoint.load(pair_checkpoint), tmp_path / "bundle", Request(PLANS))
    assert [path.name for path in tmp_path.iterdir()] == ["bundle.rejected"]
    assert not (tmp_path / "bundle.rejected" / "bundle.json").exists()


def test_pictures_that_differ_are_rejected(pair_bundle: Bundle):
    (pair,) = Generator(pair_bundle, batch=1).generate(["a crack"], plan="ddim:2")
    same = bundles.reference.Picture("ddim:2", "a crack", pair.image, pair.mask)
    assert verify.check_pictures(pair_bundle, [same], 3.0, "float32")["ddim:2"]["least_psnr_db"] == 100
    with pytest.raises(verify.Rejected, match="does not draw what the checkpoint draws"):
        verify.check_pictures(pair_bundle, [same], 3.5, "float32")  # another guidance is enough to be seen
    assert pair.mask is not None
    mask = (pair.mask + (np.arange(pair.mask.size).reshape(pair.mask.shape) < 10)).astype(np.uint8)  # 10 of 1024 pixels
    with pytest.raises(verify.Rejected, match="least_mask_agreement"):
        wrong = bundles.reference.Picture("ddim:2", "a crack", pair.image, mask)
        verify.check_pictures(pair_bundle, [wrong], 3.0, "float32")


def test_a_bundle_is_replaced_only_by_force_and_the_same_export_gives_the_same_bytes(
    reuse_graphs: Callable[[str | None], None], pair_bundle: Bundle, pair_checkpoint: Path, tmp_path: Path
):
    reuse_graphs(None)
    checkpoint, folder = Checkpoint.load(pair_checkpoint), tmp_path / "bundle"
    export_bundle(checkpoint, folder, Request(PLANS, "pairs"))
    assert file_sha256(folder / "bundle.json") == file_sha256(pair_bundle.folder / "bundle.json")
    with pytest.raises(WetgenError, match="--force"):
        export_bundle(checkpoint, folder, Request(PLANS, "other"))
    export_bundle(checkpoint, folder, Request(PLANS, "other", force=True))
    assert Bundle.open(folder).info["name"] == "other"
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_a_folder_that_is_no_bundle_is_never_replaced(pair_checkpoint: Path, tmp_path: Path):
    (tmp_path / "precious").mkdir()
    with pytest.raises(WetgenError, match="it is no bundle"):
        export_bundle(Checkpoint.load(pair_checkpoint), tmp_path / "precious", Request(force=True))


def test_the_command_says_what_is_wrong_and_exits_with_1(pair_checkpoint: Path, tmp_path: Path):
    for arguments, said in (
        ([str(tmp_path), str(tmp_path / "b")], "is not a checkpoint"),
        ([str(pair_checkpoint), str(tmp_path / "b"), "--plan", "euler:3"], "'euler:3' is no plan"),
        ([str(pair_checkpoint), str(tmp_path / "b"), "--plan", "ddim:2", "--plan", "ddim:2"], "given twice"),
        ([str(pair_checkpoint), str(tmp_path / "b"), "--plan", "ddim:1001"], "1001 steps is not possible"),
    ):
        done = CliRunner().invoke(cli, arguments)
        assert done.exit_code == 1 and said in done.output and "Traceback" not in done.output, done.output
    assert not list(tmp_path.iterdir())


def test_plans_of_several_kinds_are_exported_and_verified(pair_checkpoint: Path, tmp_path: Path):
    folder = tmp_path / "kinds"
    specs = ("mixed=ddim:4,t=999;700;400;100,guided=0-1,reuse=2", "fast=ddim:2,guided=none,reuse=2")
    measured = export_bundle(Checkpoint.load(pair_checkpoint), folder, Request(specs, "kinds"))["cpu"]
    bundle = Bundle.open(folder)
    assert [kind.name for kind in bundle.kinds] == ["guided_keep", "guided_reuse", "unguided_keep", "unguided_reuse"]
    assert bundle.default_plan == "mixed" and bundle.info["format"] == 3
    assert bundle.info["plans"]["mixed"]["spec"] == "ddim:4,t=999;700;400;100,guided=0-1,keep=0;2"
    assert all(measured["plans"][name]["least_psnr_db"] >= 45 for name in ("mixed", "fast"))
    assert set(measured["graphs"]) == set(bundle.graphs)
    # Four denoise graphs, whose weights stand once.
    held = sum(path.stat().st_size for path in folder.glob("weights.*"))
    alone = sum(parameter.nbytes for parameter in _parameters(pair_checkpoint))
    assert held < 1.25 * alone


def test_plans_of_dpm_solver_are_exported_and_verified(pair_checkpoint: Path, tmp_path: Path):
    folder = tmp_path / "multistep"
    specs = ("dpmpp:3", "less=dpmpp:4,guided=0-1,reuse=2")
    measured = export_bundle(Checkpoint.load(pair_checkpoint), folder, Request(specs, "multistep"))["cpu"]
    bundle = Bundle.open(folder)
    cached = [f"{half}_multistep_{cache}" for half in ("guided", "unguided") for cache in ("keep", "reuse")]
    assert [kind.name for kind in bundle.kinds] == ["guided_multistep", *cached]
    assert bundle.info["plans"]["less"]["spec"] == "dpmpp:4,guided=0-1,keep=0;2"
    assert all(measured["plans"][name]["least_psnr_db"] >= 45 for name in ("dpmpp:3", "less"))
    assert set(measured["graphs"]) == set(bundle.graphs)


def _parameters(checkpoint: Path) -> list[Any]:
    loaded = Checkpoint.load(checkpoint)
    return [p for part in (loaded.text_encoder, loaded.unet, loaded.vae) for p in part.parameters()]
