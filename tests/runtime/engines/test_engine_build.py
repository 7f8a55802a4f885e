"""Building engines: what is built and kept, how it ends early, and what fails it."""

import io
import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

from wetgen.runtime.bundle.archive import file_sha256
from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.cli import cli
from wetgen.runtime.engines import build as module
from wetgen.runtime.engines import build as timing_cache
from wetgen.runtime.engines import check as layers
from wetgen.runtime.engines.build import BuildOptions, build_engines
from wetgen.runtime.engines.build_progress import BuildStatus, Phases
from wetgen.runtime.engines.trt import KNOWN_FAULTS, check_known_faults
from wetgen.runtime.errors import WetgenError

MIB = 2**20


def build(bundle: Bundle, *batches: int, **options: object) -> list[str]:
    """Build, and give what was said."""
    said: list[str] = []
    build_engines(bundle, BuildOptions(batches, **options), BuildStatus(None), said.append)
    return said


def names(bundle: Bundle) -> set[str]:
    return {path.name for path in (bundle.folder / "engines").glob("*.engine")}


def test_every_batch_of_the_ladder_gets_its_engines_and_prompts_one(exported, gpu):
    build(exported)
    drawn = {f"{name}.jp6.b{batch}.engine" for name in ("denoise", "decode", "judge") for batch in (1, 2, 4)}
    assert names(exported) == drawn | {"text.jp6.b1.engine"}
    assert len(gpu.trt.builds) == 10
    Bundle.open(exported.folder)  # engines are no foreign files


def test_what_fits_is_kept_and_what_is_missing_is_built(exported, gpu):
    build(exported, 1)
    (exported.folder / "engines" / "decode.jp6.b1.engine").unlink()
    gpu.trt.builds.clear()
    said = build(exported, 1, 2)
    assert len(gpu.trt.builds) == 1 + 3
    assert sum("built already" in line for line in said) == 3


def test_networks_are_strongly_typed_without_tf32_and_with_details(exported, gpu):
    """The double refuses a network that is not strongly typed, and tells layers only of detailed builds."""
    build(exported, 1)
    assert all(made["flags"] == set() for made in gpu.trt.builds)
    stated = json.loads((exported.folder / "engines" / "denoise.jp6.b1.engine.json").read_text())
    assert stated["built"]["scratch_bytes"] == gpu.trt.scratch and stated["built"]["layers"] > 0


def test_small_boards_get_no_auxiliary_streams_and_large_ones_may(exported, gpu):
    build(exported, 1)
    gpu.cuda.properties.totalGlobalMem = 64 * 2**30
    build(exported, 2)
    assert [made["aux"] for made in gpu.trt.builds] == [0] * 4 + [None] * 3


@pytest.mark.parametrize("integrated, share", [(1, 4), (0, 2)])
def test_scratch_memory_is_capped_by_what_is_free(exported, gpu, integrated, share):
    gpu.cuda.properties.integrated = integrated
    build(exported, 1)
    assert {made["workspace"] for made in gpu.trt.builds} == {gpu.cuda.free // share}
    gpu.trt.builds.clear()
    build(exported, 2, workspace=100 * MIB)
    assert {made["workspace"] for made in gpu.trt.builds} == {100 * MIB}


def test_a_build_without_an_engine_is_tried_with_less_and_then_told(exported, gpu):
    gpu.trt.workspace_needed = 2**60
    with pytest.raises(WetgenError, match=r"built no engine of text\.onnx at batch 1") as caught:
        build(exported, 1, workspace=512 * MIB)
    assert [made["workspace"] // MIB for made in gpu.trt.builds] == [512, 256, 128, 64]
    assert "no tactic fits" in caught.value.why
    assert "swap" in caught.value.fix and "sudo init 3" in caught.value.fix
    assert names(exported) == set()


def test_a_second_build_uses_the_timing_cache_of_its_device(exported, gpu):
    build(exported, 1)
    assert not any(gpu.trt.caches)
    for path in (exported.folder / "engines").glob("*.engine"):
        path.unlink()
    build(exported, 1)
    assert all(gpu.trt.caches[4:]) and len(gpu.trt.caches) == 8
    (cache,) = (exported.folder / "engines").glob("timing.*")
    assert cache.name == f"timing.orin.sm87x16.trt{gpu.trt.version}.cache"


@pytest.mark.parametrize("spoil", [lambda data: data[:-1], lambda data: b"", lambda data: b"x" + data[1:]])
def test_a_damaged_timing_cache_never_reaches_tensorrt(exported, gpu, spoil):
    build(exported, 1)
    (cache,) = (exported.folder / "engines").glob("timing.*")
    cache.write_bytes(spoil(cache.read_bytes()))
    build(exported, 2)
    assert timing_cache._read_cache(cache)


def test_what_another_process_measured_meanwhile_is_kept(exported, gpu, tmp_path):
    trt = gpu.trt.module
    logger = module.create_logger(module.Messages())
    configs = [trt.Builder(logger).create_builder_config() for _ in range(2)]
    for config, entry in zip(configs, ("a", "b"), strict=True):
        assert not timing_cache.attach(config, tmp_path / "cache")
        config.get_timing_cache()._entries.add(entry)
    for config in configs:
        timing_cache.store(config, tmp_path / "cache")
    assert json.loads(timing_cache._read_cache(tmp_path / "cache")) == ["a", "b"]


def test_ctrl_c_ends_a_build_at_the_next_step_and_keeps_what_is_done(exported, gpu):
    before, steps = signal.getsignal(signal.SIGINT), []

    def interrupt() -> None:
        steps.append(1)
        if len(steps) == 8:  # in the second engine
            os.kill(os.getpid(), signal.SIGINT)

    gpu.trt.on_step = interrupt
    with pytest.raises(KeyboardInterrupt):
        build(exported, 1)
    assert len(steps) == 8 and signal.getsignal(signal.SIGINT) is before
    assert names(exported) == {"text.jp6.b1.engine"}
    gpu.trt.on_step = None
    build(exported, 1)
    assert len(names(exported)) == 4


def test_the_command_says_how_to_go_on(exported, gpu):
    gpu.trt.on_step = lambda: os.kill(os.getpid(), signal.SIGINT)
    result = CliRunner().invoke(cli, ["build", str(exported.folder), "--batches", "1", "--quiet"])
    assert result.exit_code == 130 and "the same command builds the rest" in result.output


def test_the_command_builds(exported, gpu):
    result = CliRunner().invoke(cli, ["build", str(exported.folder), "--batches", "2,1", "--target", "jp6"])
    assert result.exit_code == 0, result.output
    assert len(names(exported)) == 7
    assert f"TensorRT {gpu.trt.version} on Orin (compute capability 8.7, 16 multiprocessors)" in result.output


def test_engines_are_compared_with_onnx_runtime(exported, gpu):
    compared = [line for line in build(exported, 1, 2, check=True) if "compared: " in line]
    assert len(compared) == 7
    assert all("relative error 0, class ids 0.00%" in line for line in compared)


@pytest.mark.parametrize(
    "name, damage",
    [
        ("embedding", lambda made: made[:, ::-1]),
        ("latent_after", lambda made: np.where(made > 0, made, np.nan)),
        ("latent_after", lambda made: made * 1.1),
        ("mask", lambda made: np.where(np.arange(32) < 4, 1, made).astype(np.uint8)),
        ("image", lambda made: np.zeros_like(made)),
    ],
)
def test_an_engine_that_computes_something_else_fails_the_comparison(exported, gpu, name, damage):
    gpu.trt.damage[name] = damage
    with pytest.raises(WetgenError, match="ONNX Runtime computes something else"):
        build(exported, 1, check=True)


@pytest.mark.parametrize("text", ["0", "a", "1,,2", "-1"])
def test_batches_are_numbers(text):
    assert CliRunner().invoke(cli, ["build", "--batches", text]).exit_code == 2


@pytest.mark.parametrize("target, why", [("trt11", "trt11"), ("cpu", "cpu"), ("jp9", "jp9")])
def test_a_target_that_the_bundle_or_this_tensorrt_lacks_is_refused(exported, gpu, target, why):
    with pytest.raises(WetgenError, match="cannot run on tensorrt"):
        build(exported, 1, target=target)


def test_a_file_that_is_no_graph_is_told(exported, gpu):
    held = exported.targets["jp6"]
    (exported.folder / "text.onnx").write_bytes(b"no graph")
    with pytest.raises(WetgenError, match=r"cannot read text.onnx"):
        build(replace(exported, targets={"jp6": held}), 1)


def test_weights_beside_the_graph_are_found(exported, gpu):
    """The engine's bytes hold the weights, wherever the graph has them from."""
    path = exported.folder / "denoise.onnx"
    model = onnx.load(path)
    weight = numpy_helper.to_array(model.graph.initializer[0]).tobytes()
    onnx.save(model, path, save_as_external_data=True, location="weights.data", size_threshold=0)
    build(exported, 1)
    assert weight in (exported.folder / "weights.data").read_bytes()
    assert weight in (exported.folder / "engines" / "denoise.jp6.b1.engine").read_bytes()


# Precision


def half_bundle(exported: Bundle, precision: dict[str, object], *, narrow: bool = True) -> Bundle:
    """The bundle with a decoder whose convolution computes in float16, or does not."""
    path = exported.folder / "decode.onnx"
    model = onnx.load(path)
    for place, node in enumerate(model.graph.node):
        node.name = f"/decoder/{node.op_type}_{place}"
    if narrow:
        _narrow(model)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    info_file = exported.folder / "bundle.json"
    info = json.loads(info_file.read_text())
    info["targets"]["jp6"]["graphs"] = {**info["targets"]["jp6"]["graphs"]}
    info["targets"]["jp6"]["graphs"]["decode"]["precision"] = precision
    info["files"]["decode.onnx"] = {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
    info_file.write_text(json.dumps(info))
    return Bundle.open(exported.folder)


def _narrow(model: onnx.ModelProto) -> None:
    """Put the first node, a transposed convolution, between casts to float16 and back."""
    first = model.graph.node[0]
    weight = next(w for w in model.graph.initializer if w.name == first.input[1])
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight).astype(np.float16), weight.name))
    wide = first.output[0]
    casts = [
        helper.make_node("Cast", [first.input[0]], ["narrow"], name="/decoder/Cast_in", to=TensorProto.FLOAT16),
        helper.make_node("Cast", ["narrow_out"], [wide], name="/decoder/Cast_out", to=TensorProto.FLOAT),
    ]
    first.input[0], first.output[0] = "narrow", "narrow_out"
    nodes = [casts[0], first, casts[1], *model.graph.node[1:]]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def test_float16_graphs_build_and_their_layers_are_looked_at(exported, gpu):
    bundle = half_bundle(exported, {"compute": "float16", "weights": "float16"})
    build(bundle, 1)
    stated = json.loads((bundle.folder / "engines" / "decode.jp6.b1.engine.json").read_text())
    assert stated["built"]["layers_checked"] == 1


def test_a_layer_that_should_be_float16_and_is_not_fails_the_build(exported, gpu):
    bundle = half_bundle(exported, {"compute": "float16", "weights": "float16"})
    gpu.trt.as_float32 = ("ConvTranspose",)
    with pytest.raises(WetgenError, match="layers in float32 that are float16 in the graph: /decoder/ConvTranspose_0"):
        build(bundle, 1)
    assert "decode.jp6.b1.engine" not in names(bundle)


def test_a_float32_graph_where_the_bundle_states_float16_fails_the_build(exported, gpu):
    bundle = half_bundle(exported, {"compute": "float16", "weights": "float16"}, narrow=False)
    with pytest.raises(WetgenError, match=r"decode.onnx computes in float32 where the bundle states float16"):
        build(bundle, 1)


def test_an_inspector_without_types_is_told(exported, gpu):
    bundle = half_bundle(exported, {"compute": "float16", "weights": "float16"})
    gpu.trt.no_types = True
    assert any("the inspector shows no types" in line for line in build(bundle, 1))


NETWORK = layers.NetworkLayers(frozenset({"/a/Conv", "/b/MatMul"}), frozenset(), frozenset({"/c/Cast"}))


@pytest.mark.parametrize(
    "layer, checked, wrong",
    [
        ({"Name": "/a/Conv + /a/Relu", "Outputs": [{"Format/Datatype": "Row major linear FP16 format"}]}, 1, False),
        ({"Name": "/a/Conv", "Outputs": [{"Format/Datatype": "Half"}]}, 1, False),
        ({"Name": "/a/Conv", "Outputs": [{"Format/Datatype": "Channel major BFloat16 format"}]}, 1, False),
        ({"Name": "/a/Conv", "Outputs": [{"Format/Datatype": "Row major linear FP32"}]}, 1, True),
        ({"Name": "/a/Conv", "Inputs": [{"Format": "Float"}], "Outputs": [{"Format": "Float"}]}, 1, True),
        ({"Name": "__myl_Fc", "Metadata": "[ONNX Layer: /b/MatMul]", "Outputs": [{"Datatype": "Float"}]}, 1, True),
        ({"Name": "/a/Conv + /c/Cast", "Outputs": [{"Format": "Float"}]}, 0, False),
        ({"Name": "/a/Conv_10", "Outputs": [{"Format": "Float"}]}, 0, False),
        ({"Name": "{ForeignNode[/a/Conv.../b/MatMul]}", "Outputs": [{"Format": "Float"}]}, 0, False),
        ("/a/Conv", 0, False),
    ],
)
def test_layers_are_found_under_what_they_were_fused_into(layer, checked, wrong):
    information = json.dumps({"Layers": [layer]})
    if wrong:
        with pytest.raises(WetgenError, match="in float32"):
            layers.check_engine_layers(information, NETWORK, "engine")
    else:
        assert layers.check_engine_layers(information, NETWORK, "engine") == checked


def test_islands_may_compute_in_float32_but_not_everything():
    some = layers.NetworkLayers(frozenset({"/a/Conv"}), frozenset({"/b/MatMul"}), frozenset())
    layers.check_network(some, {"compute": "float16", "islands": {"b": "overflows"}}, "graph")
    layers.check_network(some, {"compute": "float32"}, "graph")
    for held, precision in ((some, {}), (replace(some, half=frozenset()), {"islands": {"b": "overflows"}})):
        with pytest.raises(WetgenError, match="/b/MatMul"):
            layers.check_network(held, {"compute": "float16", **precision}, "graph")


# Known faults


@pytest.mark.parametrize("version", ["11.1.0", "11.2.0.33", "11.2", "10.11.0.33"])
def test_versions_with_known_wrong_results_are_refused_with_their_sources(version):
    with pytest.raises(WetgenError, match="known to draw wrong pictures") as caught:
        check_known_faults(version)
    assert "github.com/NVIDIA/TensorRT/issues/" in caught.value.why


@pytest.mark.parametrize("version", ["10.1.0", "10.3.0", "10.16.1.11", "11.3.0", "11.4.0.106", "11.20.0"])
def test_other_versions_are_not(version):
    check_known_faults(version)


@pytest.mark.parametrize("row", KNOWN_FAULTS)
def test_a_fault_is_refused_with_its_source(row):
    with pytest.raises(WetgenError) as caught:
        check_known_faults(f"{row.version}.0")
    assert f"{row.fault} (https://github.com/NVIDIA/TensorRT/issues/{row.issue})" in caught.value.why


def test_a_build_with_such_a_version_is_refused(exported, gpu):
    vars(gpu.trt.module)["__version__"] = "11.2.0"
    with pytest.raises(WetgenError, match="known to draw wrong pictures"):
        build(exported, 1)


@pytest.mark.parametrize("version, what", [("10.0.1", "TensorRT 10.0.1 is too old"), ("8.6.2", "is too old")])
def test_a_version_that_is_too_old_is_refused(exported, gpu, version, what):
    vars(gpu.trt.module)["__version__"] = version
    with pytest.raises(WetgenError, match=what):
        build(exported, 1)


# Progress


def test_nested_phases_add_up():
    phases = Phases()
    phases.start("all", None, 4)
    phases.step("all", 0)
    phases.start("tactics", "all", 10)
    phases.step("tactics", 4)
    assert phases.share() == pytest.approx((1 + 0.5) / 4) and phases.innermost == "tactics 5/10"
    phases.finish("tactics")
    assert phases.share() == pytest.approx(1 / 4)
    phases.finish("all")
    assert phases.share() == 0.0 and phases.innermost == ""


@pytest.mark.parametrize("parent", [None, ""])
def test_the_time_left_follows_from_the_share_that_is_done(parent):
    seconds = [0.0]
    status = BuildStatus(io.StringIO(), clock=lambda: seconds[0])
    status.begin("denoise, batch 4")
    status.phases.start("Building", parent, 4)
    seconds[0] = 30.0
    status.phases.step("Building", 0)
    assert status.text() == "denoise, batch 4: 25%, 0:01:30 left (Building 1/4)"


def test_a_line_comes_from_time_to_time_where_there_is_no_terminal():
    stream, seconds = io.StringIO(), [0.0]
    status = BuildStatus(stream, clock=lambda: seconds[0])
    status.begin("decode, batch 1")
    for second in range(25):
        seconds[0] = float(second)
        status.show()
    assert len(stream.getvalue().strip().split("\n")) == 2 and "\r" not in stream.getvalue()


def test_a_bar_is_drawn_over_itself_on_a_terminal(monkeypatch):
    stream, seconds = io.StringIO(), [0.0]
    monkeypatch.setattr(stream, "isatty", lambda: True)
    status = BuildStatus(stream, clock=lambda: seconds[0])
    status.begin("decode, batch 1")
    status.phases.start("Building", None, 4)
    status.phases.step("Building", 1)
    seconds[0] = 30.0
    status.show()
    status.end()
    assert f"[{'#' * 12}{'.' * 12}] decode, batch 1: 50%, 0:00:30 left (Building 2/4)" in stream.getvalue()
    assert stream.getvalue().startswith("\r") and stream.getvalue().endswith("\n")


def test_the_path_of_a_cache_is_a_plain_name():
    gpu = module.cuda.Gpu("NVIDIA GeForce RTX 4090/D (a)", (8, 9), 128, False, 1)
    path = timing_cache.cache_path(Path("engines"), gpu, "11.4.0.106")
    assert path == Path("engines/timing.nvidia-geforce-rtx-4090-d-a.sm89x128.trt11.4.0.106.cache")
