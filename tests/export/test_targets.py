"""One checkpoint exported to several targets in one go: shared weights, static shapes, figures, and the ladder."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from click.testing import CliRunner
from onnx import TensorProto

from wetgen.export import reference, verify
from wetgen.export.bundle import Request, export_bundle
from wetgen.export.cli import cli
from wetgen.export.onnx.files import nodes_of
from wetgen.export.onnx.operators import check_operators
from wetgen.export.onnx.types import types_of
from wetgen.export.precision import mixed_precision
from wetgen.export.precision.candidates import Trials
from wetgen.export.precision.keep_in_fp32 import KeptInFloat32, precision_sets
from wetgen.export.search.plans import plans_of
from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.bundle.describe import describe_bundle
from wetgen.runtime.bundle.targets import TARGETS
from wetgen.runtime.bundle.tokenizer import PromptTokenizer
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.sampling.generator import Generator
from wetgen.training.checkpoint import Checkpoint

NAMES = ("cpu", "cuda", "jp6", "trt11")
GRAPHS = ("text", "denoise", "decode", "encode")


@pytest.fixture(scope="session")
def targets_bundle(pair_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The pair checkpoint for four targets, three of them float16, from one call of the command."""
    folder = tmp_path_factory.mktemp("targets") / "all"
    options = ["--plan", "ddim:2", "--weights", "float16", "--target", "trt11,cpu", "--target", "jp6"]
    arguments = [str(pair_checkpoint), str(folder), *options, "--target", "cuda", "--batches", "1,4"]
    with pytest.MonkeyPatch.context() as patch:
        # Classes of an untrained decoder are near ties: 8 of 1024 pixels flip where a trained one has 2 of 10000.
        patch.setattr(verify, "LEAST_AGREEMENT", 0.98)
        done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, done.output
    assert "jp6: float16 with islands in float32" in done.output
    return Bundle.open(folder)


def test_every_target_has_its_graphs_and_what_it_is_for(targets_bundle: Bundle):
    assert list(targets_bundle.targets) == list(NAMES)  # in the table's order, whatever was asked for first
    for name, held in targets_bundle.targets.items():
        entry = targets_bundle.info["targets"][name]
        assert entry["opset"] == TARGETS[name].opset == onnx.load(held.files["decode"]).opset_import[0].version
        assert set(held.files) == set(GRAPHS)
        assert held.batches == ((1, 4) if TARGETS[name].tensorrt else ())
        assert held.precision["denoise"]["compute"] == TARGETS[name].compute
    said = describe_bundle(targets_bundle)
    assert "trt11: opset 23, for TensorRT 11, engines of batch 1, 4" in said
    assert "denoise: denoise.opset20.onnx and weights.float16.data" in said


def test_weights_stand_in_the_bundle_once(targets_bundle: Bundle, networks: Checkpoint):
    """The cpu target's float16 weights are those that the float16 targets compute with."""
    folder = targets_bundle.folder
    shared = (folder / "weights.float16.data").stat().st_size
    parts = (networks.text_encoder, networks.unet, networks.vae)
    whole = sum(parameter.numel() for part in parts for parameter in part.parameters())
    assert shared < 2.2 * whole  # 2 bytes each, and what pages leave empty
    assert all(path.stat().st_size < shared for path in folder.glob("*.onnx"))
    for held in targets_bundle.targets.values():
        assert folder / "weights.float16.data" in held.parts("denoise")
    for graph in GRAPHS:  # one opset, one file
        assert targets_bundle.targets["cuda"].files[graph] == targets_bundle.targets["jp6"].files[graph]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("graph", GRAPHS)
def test_with_the_batch_fixed_every_shape_is_static(targets_bundle: Bundle, name: str, graph: str, tmp_path: Path):
    """As the engine builder sees it: nothing of a shape is left to the data."""
    path = targets_bundle.targets[name].files[graph]
    model = onnx.load(str(path))
    for node in model.graph.node:
        # ONNX Runtime takes it apart into pieces whose shapes ONNX cannot infer; it keeps its input's shape.
        if node.op_type == "GroupNormalization":
            node.CopyFrom(onnx.helper.make_node("Identity", node.input[:1], node.output, name=node.name))
    onnx.save(model, tmp_path / "plain.onnx")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(tmp_path / "fixed.onnx")
    options.log_severity_level = 3
    for axis, size in (("B", 3), ("2B", 6)):
        options.add_free_dimension_override_by_name(axis, size)
    onnxruntime.InferenceSession(str(tmp_path / "plain.onnx"), options, providers=["CPUExecutionProvider"])
    fixed = onnx.shape_inference.infer_shapes(onnx.load(tmp_path / "fixed.onnx"), data_prop=True).graph
    shapes = {value.name: value.type.tensor_type.shape for value in (*fixed.value_info, *fixed.output)}
    for node in fixed.node:
        for output in filter(None, node.output):
            assert output in shapes, f"{node.op_type} {node.name}"
            assert all(axis.HasField("dim_value") for axis in shapes[output].dim), f"{node.op_type} {node.name}"
    assert not {"NonZero", "Shape", "Unique"} & {node.op_type for node in fixed.node}


@pytest.mark.parametrize("name", NAMES)
def test_borders_are_of_32_bits_and_8_bits(targets_bundle: Bundle, name: str):
    for path in targets_bundle.targets[name].files.values():
        graph = onnx.load(str(path), load_external_data=False).graph
        kinds = {value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)}
        assert kinds <= {TensorProto.FLOAT, TensorProto.INT32, TensorProto.UINT8}


def test_convolutions_are_float16_and_guidance_is_not(targets_bundle: Bundle):
    for name in ("jp6", "trt11"):
        path = targets_bundle.targets[name].files["denoise"]
        types = types_of(path)
        nodes = list(nodes_of(list(onnx.load(str(path), load_external_data=False).graph.node)))
        assert {types[n.output[0]] for n in nodes if n.op_type == "Conv"} == {TensorProto.FLOAT16}
        assert nodes[-1].op_type == "Add" and types[nodes[-1].input[0]] == TensorProto.FLOAT
        named = [n for n in nodes if n.name.startswith("unet.mid_block.resnets.0.conv1/Conv")]
        assert len(named) == 1


def test_the_bundle_says_what_was_measured(targets_bundle: Bundle):
    for name in ("cuda", "jp6", "trt11"):
        entry = targets_bundle.info["targets"][name]
        measured = entry["measured"]
        assert measured["plans"]["ddim:2"]["least_psnr_db"] >= 45 and measured["plans"]["ddim:2"]["not_finite"] == 0
        how = measured["precision"]
        assert how["rung"] == "float16 with islands in float32" and how["allowed"] == 65504 / 4
        assert how["tried"][0]["plans"]["ddim:2"]["least_psnr_db"] >= 45
        assert 0 < how["largest"]["denoise"]["value"] < 16376
        islands = entry["graphs"]["denoise"]["precision"]["islands"]
        assert islands["unet.time_proj"] == "time table" and any("norm" in path for path in islands)
        assert entry["graphs"]["denoise"]["precision"]["casts"] >= 2 * len(islands)


def test_the_float32_graphs_are_those_of_a_bundle_for_the_cpu_alone(targets_bundle: Bundle, networks: Checkpoint):
    """Other targets beside it change where weights stand, not what is drawn."""
    pairs = list(Generator(targets_bundle, batch=2).generate(["a crack", "a stain"]))
    assert targets_bundle.targets["cpu"].precision["denoise"] == {"compute": "float32", "weights": "float16"}
    assert len(pairs) == 2 and all(np.ptp(pair.image) > 0 for pair in pairs)


@pytest.mark.parametrize("name, version", [("trt11", "jp6"), ("trt11", "jp7")])
def test_newer_graphs_do_not_pass_for_older_targets(targets_bundle: Bundle, name: str, version: str):
    with pytest.raises(WetgenError, match="does not take"):
        check_operators(targets_bundle.targets[name].files["denoise"], TARGETS[version])


@pytest.mark.parametrize(
    "options, said",
    [
        (["--target", "jp5"], "There is no target 'jp5'"),
        (["--target", "jp6,jp6"], "The targets are jp6, jp6"),
        (["--batches", "1,two"], "'1,two' is no list of batches"),
        (["--batches", "0,1"], "The batches are 0, 1"),
    ],
)
def test_impossible_requests_are_refused_before_anything_is_written(
    pair_checkpoint: Path, tmp_path: Path, options: list[str], said: str
):
    done = CliRunner().invoke(cli, [str(pair_checkpoint), str(tmp_path / "b"), *options])
    assert done.exit_code == 1 and said in done.output and not list(tmp_path.iterdir())


def _with_spike(path: Path, spoiled: Path) -> None:
    """The graph, its latent multiplied by 60000 and divided again as soon as it is float16."""
    model = onnx.load(str(path))
    (place, cast), *_ = ((k, n) for k, n in enumerate(model.graph.node) if types_of(path)[n.output[0]] == 10)
    assert cast.op_type == "Cast"
    result, cast.output[0] = cast.output[0], "narrow"
    width = 8  # of the latent
    for name, by in (("up", 60000.0), ("down", 1 / 60000)):
        matrix = (np.eye(width) * by).astype(np.float16)
        model.graph.initializer.append(onnx.numpy_helper.from_array(matrix, name))
    model.graph.node.insert(place + 1, onnx.helper.make_node("MatMul", ["narrow", "up"], ["spike"]))
    model.graph.node.insert(place + 2, onnx.helper.make_node("MatMul", ["spike", "down"], [result]))
    onnx.save(model, str(spoiled))


def test_the_gate_on_the_files_sees_an_overflow_that_onnx_runtime_hides(
    targets_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(verify, "LEAST_AGREEMENT", 0.98)  # as in the fixture
    held = targets_bundle.targets["jp6"]
    _with_spike(held.files["decode"], tmp_path / "decode.jp6.onnx")
    prompt, guidance = "a crack", 3.0
    (pair,) = Generator(targets_bundle, batch=1).generate([prompt], guidance=guidance)
    expected = reference.Picture("ddim:2", prompt, pair.image, pair.mask)
    files = {**held.files, "decode": tmp_path / "decode.jp6.onnx"}
    spoiled = replace(targets_bundle, targets={"jp6": replace(held, files=files)})
    job: Any = SimpleNamespace(
        targets=[TARGETS["jp6"]],
        expected=SimpleNamespace(pictures=[expected]),
        guidance=guidance,
        part=tmp_path / "b",
        say=lambda _: None,
    )
    rung = next(precision_sets(dict.fromkeys(GRAPHS, KeptInFloat32())))
    entries: dict[str, Any] = {"jp6": {"measured": {}}}
    mixed_precision.Exported(job, rung).check(targets_bundle, entries)
    assert entries["jp6"]["measured"]["plans"]["ddim:2"]["least_psnr_db"] >= 45
    with pytest.raises(verify.Rejected, match="ddim:2 has"):
        mixed_precision.Exported(job, rung).check(spoiled, entries)
    assert not list(tmp_path.glob(".rounding-*"))
    own = replace(held, target=TARGETS["cpu"], files=files)
    (hidden,) = Generator(replace(targets_bundle, targets={"cpu": own}), batch=1).generate([prompt], guidance=guidance)
    assert verify.psnr(hidden.image, pair.image) > 45  # ONNX Runtime alone would have let it pass


# The ladder, on checkpoints that were doctored to overflow: no graph is traced here


def _doctored(checkpoint: Path, folder: Path, change: Callable[[Checkpoint], None]) -> Checkpoint:
    """A checkpoint whose networks were changed in memory and that does not let go of them."""
    opened = Checkpoint.load(shutil.copytree(checkpoint, folder / "checkpoint"))
    with torch.no_grad():
        change(opened)
    opened.release = lambda part: None  # type: ignore[method-assign]
    return opened


def _scaled(block: Any, by: float = 1e6) -> None:
    """Make a residual block overflow between its convolutions; the norm there takes the scale out again."""
    block.conv1.weight *= by


@pytest.fixture
def climbed(
    pair_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[list[Any], dict[str, KeptInFloat32]]]:
    """Climb the ladder on a doctored checkpoint for targets; returns the trials and the islands."""
    monkeypatch.setattr(verify, "LEAST_AGREEMENT", 0.98)  # as in `targets_bundle`

    def climb(change: Callable[[Checkpoint], None], *names: str, measured: bool = True) -> tuple[list[Any], Any]:
        checkpoint = _doctored(pair_checkpoint, tmp_path, change)
        file = tmp_path / "tokenizer.json"
        checkpoint.tokenizer.save(str(file))
        ids = PromptTokenizer(file, checkpoint.sizes.tokens).encode(["", "a crack in a wall"])
        plans = plans_of(["ddim:2"], checkpoint.schedule)
        texts = reference.embeddings(checkpoint.text_encoder, ids)
        last = reference.latents(checkpoint.unet, checkpoint.sizes, plans, texts, 3.0)
        pictures = reference.pictures(checkpoint.vae, ["a crack in a wall"], last)
        trials = Trials(checkpoint, plans, ids, 3.0, pictures)
        islands, _ = trials.islands(last) if measured else (dict.fromkeys(GRAPHS, KeptInFloat32()), None)
        targets = [TARGETS[name] for name in names]
        return mixed_precision.climb(trials, islands, targets, lambda _: None), islands

    return climb


def test_a_sound_checkpoint_stays_on_the_lowest_rung(climbed: Any):
    tried, islands = climbed(lambda checkpoint: None, "jp6")
    assert [trial.rung.name for trial in tried] == ["float16 with islands in float32"]
    assert set(islands.values()) == {KeptInFloat32()} and not tried[0].overflows


def test_one_block_that_overflows_becomes_an_island_and_passes(climbed: Any):
    tried, islands = climbed(lambda checkpoint: _scaled(checkpoint.unet.mid_block.resnets[0]), "jp6")
    ((path, reason),) = islands["denoise"].modules
    # The block adds the time's embedding to what conv1 gives: by the random weights the one or the sum is the larger.
    assert path == "unet.module.mid_block.resnets.0" and "e+06 in unet.mid_block.resnets.0" in reason
    assert len(tried) == 1 and tried[0].passes and not tried[0].overflows


def test_without_its_island_the_ladder_is_climbed_and_ends_with_the_blocks_name(climbed: Any):
    with pytest.raises(verify.Rejected, match="No smaller type") as caught:
        climbed(lambda c: _scaled(c.unet.mid_block.resnets[0]), "jp6", "trt11", measured=False)
    assert "denoise: unet.mid_block.resnets.0.conv1" in caught.value.why
    assert "bfloat16 would take opset 22, which jp6 do not read" in caught.value.fix


def test_bfloat16_is_the_last_rung_where_the_opset_allows_it(climbed: Any, monkeypatch: pytest.MonkeyPatch):
    # Random networks amplify rounding more than trained ones: with bfloat16 this one's picture comes to 34 dB.
    monkeypatch.setattr(verify, "LEAST_PSNR", 30.0)
    monkeypatch.setattr(verify, "LEAST_AGREEMENT", 0.95)
    tried, _ = climbed(lambda c: _scaled(c.unet.mid_block.resnets[0]), "trt11", measured=False)
    assert [trial.passes for trial in tried] == [False] * (len(tried) - 1) + [True]
    assert tried[-1].rung.name == "bfloat16" and len(tried) == 4
    assert tried[0].overflows["denoise"] == "unet.mid_block.resnets.0.conv1"
    assert tried[0].figures["ddim:2"]["not_finite"] == 1 and tried[-1].figures["ddim:2"]["not_finite"] == 0


def _decoder_overflows(checkpoint: Checkpoint) -> None:
    """All sums along the decoder are beyond float16, and its last norm takes that out again."""
    checkpoint.vae.net.decoder.conv_in.weight.mul_(1e7)


def test_a_decoder_that_overflows_throughout_is_float32(climbed: Any):
    tried, islands = climbed(_decoder_overflows, "jp6")
    assert [path for path, _ in islands["decode"].modules] == ["vae.net.decoder"]
    assert len(tried) == 1 and tried[0].passes


def test_the_decoder_is_the_first_rung_of_the_ladder(climbed: Any):
    """Where the ranges said nothing beforehand."""
    tried, _ = climbed(_decoder_overflows, "jp6", measured=False)
    assert [trial.rung.name for trial in tried] == ["float16 with islands in float32", "decoder in float32"]
    assert tried[0].overflows == {"decode": "vae.net.decoder.conv_in"} and tried[1].overflows == {}


def test_a_denoiser_that_overflows_everywhere_is_refused_by_name_or_bfloat16(climbed: Any):
    def change(checkpoint: Checkpoint) -> None:
        checkpoint.unet.conv_in.weight *= 1e7

    with pytest.raises(verify.Rejected) as caught:
        climbed(change, "jp6")
    assert "denoise reaches" in caught.value.why and "in unet.conv_in" in caught.value.why


def test_a_rejected_export_leaves_no_bundle(pair_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    checkpoint = _doctored(pair_checkpoint, tmp_path, lambda c: c.unet.conv_in.weight.mul_(1e7))
    with pytest.raises(verify.Rejected):
        export_bundle(checkpoint, tmp_path / "bundle", Request(("ddim:1",), targets=("jp6",)))
    assert not (tmp_path / "bundle").exists() and not (tmp_path / "bundle.rejected" / "bundle.json").exists()
