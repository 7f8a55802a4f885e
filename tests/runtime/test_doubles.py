"""The doubles refuse what a GPU would punish or let pass, and whatever the real bindings do not have."""

import numpy as np
import pytest

from wetgen.runtime.engines import build as build_module
from wetgen.runtime.engines import cuda
from wetgen.runtime.engines.build import BuildOptions, build_engines
from wetgen.runtime.engines.build_progress import BuildStatus
from wetgen.runtime.engines.trt import Messages, TrtGraph, create_logger
from wetgen.runtime.errors import WetgenError


@pytest.fixture
def own(gpu):
    """Resources on the imaginary GPU."""
    resources = cuda.Resources()
    yield resources
    resources.close()


# CUDA


def fill(target, nbytes, stream, held):
    """Put work on a stream that writes device memory, from pinned memory of `held`."""
    source, given = held.pinned((nbytes,), "uint8")
    given[...] = 0
    cuda.to_device(target, source, nbytes, stream)


def test_a_result_is_not_there_before_somebody_waited(own):
    stream, there = own.stream(), own.device(1024)
    source, given = own.pinned((256,), "float32")
    target, taken = own.pinned((256,), "float32")
    given[...], taken[...] = 7.0, 7.0
    cuda.to_device(there, source, 1024, stream)
    cuda.to_host(target, there, 1024, stream)
    assert not (taken == 7.0).any()
    cuda.wait_for_stream(stream)
    assert (taken == 7.0).all()


def test_a_source_that_changes_before_it_was_copied_is_refused(own, doubles):
    stream, there = own.stream(), own.device(1024)
    source, given = own.pinned((256,), "float32")
    cuda.to_device(there, source, 1024, stream)
    before = given.copy()
    given[...] = 1.0
    with pytest.raises(doubles.Misuse, match="the host changed"):
        cuda.wait_for_stream(stream)
    given[...] = before


@pytest.mark.parametrize("writes_first", [True, False])
def test_two_streams_at_the_same_bytes_need_an_event(own, doubles, writes_first):
    one, other, there, away = own.stream(), own.stream(), own.device(1024), own.device(1024)
    fill(there, 1024, one, own)
    cuda.wait_for_stream(one)
    first, second = (lambda s: fill(there, 1024, s, own)), (lambda s: cuda.on_device(away, there, 1024, s))
    if not writes_first:
        first, second = second, first
    first(one)
    second(other)
    with pytest.raises(doubles.Misuse, match="does not wait for"):
        cuda.wait_for_stream(other)
    event = own.event()
    cuda.wait_for_stream(one)
    cuda.wait_for_stream(other)
    first(one)
    cuda.record(event, one)
    cuda.let_wait(other, event)
    second(other)
    cuda.wait_for_stream(other)


def test_memory_that_was_freed_is_refused(gpu, doubles):
    stays = cuda.Resources()
    stream, goes = stays.stream(), cuda.Resources()
    gone = goes.device(1024)
    goes.close()
    with pytest.raises(doubles.Misuse, match="memory that was freed"):
        fill(gone, 1024, stream, stays)
    stays.close()


def test_memory_that_is_still_needed_is_not_freed(gpu, doubles):
    stays, goes = cuda.Resources(), cuda.Resources()
    stream = stays.stream()
    there = stays.device(1024)
    fill(there, 1024, stream, stays)
    cuda.wait_for_stream(stream)
    cuda.on_device(goes.device(1024), there, 1024, stream)
    with pytest.raises(doubles.Misuse, match="copy cudaMemcpyDeviceToDevice still needs"):
        goes.close()
    cuda.wait_for_stream(stream)
    stays.close()
    gpu.cuda.blocks.clear()


def test_a_copy_beyond_its_memory_is_refused(own, doubles):
    with pytest.raises(doubles.Misuse, match="not inside any allocation"):
        fill(own.device(1024), 1025, own.stream(), own)


def test_a_copy_from_memory_that_is_not_pinned_is_refused(own, doubles):
    array = np.zeros(256, np.uint8)
    with pytest.raises(doubles.Misuse, match="is not pinned"):
        cuda.to_device(own.device(256), array.ctypes.data, 256, own.stream())


def test_what_is_left_over_at_the_end_is_told(gpu, doubles):
    resources = cuda.Resources()
    resources.device(10), resources.stream(), resources.event()
    with pytest.raises(doubles.Misuse, match="'memory': 1, 'streams': 1, 'events': 1"):
        gpu.cuda.finish()
    resources.close()


def test_work_that_nobody_waits_for_is_told(gpu, own, doubles):
    stream = own.stream()
    fill(own.device(1024), 1024, stream, own)
    with pytest.raises(doubles.Misuse, match="nobody waited for"):
        gpu.cuda.finish()


@pytest.mark.parametrize("what", ["allocation", "waiting"])
def test_what_cannot_be_recorded_spoils_the_recording(own, what):
    stream = own.stream()

    def work():
        own.device(10) if what == "allocation" else cuda.wait_for_stream(stream)

    with pytest.raises(WetgenError, match="cudaErrorStreamCaptureUnsupported"):
        cuda.capture(stream, work)
    cuda.capture(stream, lambda: None).close()


def test_a_recording_repeats_its_work_at_the_same_addresses(own):
    stream, there = own.stream(), own.device(256)
    address, array = own.pinned((256,), "uint8")
    graph = cuda.capture(stream, lambda: cuda.to_device(there, address, 256, stream))
    back, seen = own.pinned((256,), "uint8")
    for value in (3, 4):
        array[...] = value
        graph.launch(stream)
        cuda.to_host(back, there, 256, stream)
        cuda.wait_for_stream(stream)
        assert (seen == value).all()
    graph.close()


def test_return_codes_are_told_by_name(gpu, own):
    gpu.cuda.fail("cudaMemcpyAsync", gpu.cuda.Error.cudaErrorIllegalAddress)
    with pytest.raises(WetgenError, match=r"CUDA could not do cudaMemcpyAsync: cudaErrorIllegalAddress") as caught:
        fill(own.device(10), 10, own.stream(), own)
    assert caught.value.why == "what cudaErrorIllegalAddress says."


# TensorRT


@pytest.fixture
def loaded(built, gpu):
    """The judge's engine at batch 1, and the addresses of buffers for it."""
    resources = cuda.Resources()
    engine = (built.folder / "engines" / "judge.jp6.b1.engine").read_bytes()
    graph = TrtGraph(built.graphs["judge"], memoryview(engine), batch=1, name="judge", host_code=False)
    sizes = {"image": 32 * 32 * 3, "mask": 32 * 32, "confidence": 32 * 32}
    addresses = {name: resources.device(size) for name, size in sizes.items()}
    yield graph, addresses, resources.stream(), resources.device(graph.scratch_bytes)
    graph.close()
    resources.close()


def test_damaged_bytes_end_the_test(built, gpu, doubles):
    trt = gpu.trt.module
    engine = bytearray((built.folder / "engines" / "judge.jp6.b1.engine").read_bytes())
    engine[200] ^= 1
    for data in (b"", b"garbage", bytes(engine), bytes(engine[:-5])):
        with pytest.raises(doubles.Crash, match="damaged engine"):
            trt.Runtime(create_logger(Messages())).deserialize_cuda_engine(data)


def test_engines_of_another_gpu_or_version_end_the_test(built, gpu, doubles):
    engine = (built.folder / "engines" / "judge.jp6.b1.engine").read_bytes()
    runtime = gpu.trt.module.Runtime(create_logger(Messages()))
    gpu.cuda.properties.multiProcessorCount = 8
    with pytest.raises(doubles.Crash, match="another GPU"):
        runtime.deserialize_cuda_engine(engine)
    gpu.cuda.properties.multiProcessorCount, gpu.trt.version = 16, "10.13.0"
    with pytest.raises(doubles.Crash, match="another version"):
        runtime.deserialize_cuda_engine(engine)


def test_addresses_that_were_not_set_are_refused(loaded, doubles):
    graph, addresses, stream, scratch = loaded
    graph.lend(scratch)
    with pytest.raises(doubles.Misuse, match="no address was set for"):
        graph.enqueue({"image": addresses["image"]}, stream)


def test_scratch_memory_that_was_not_lent_is_refused(loaded, doubles):
    graph, addresses, stream, _ = loaded
    with pytest.raises(doubles.Misuse, match="no scratch memory"):
        graph.enqueue(addresses, stream)


@pytest.mark.parametrize("name, shift, what", [("image", 4, "not aligned"), ("confidence", 1024, "not inside any")])
def test_wrong_addresses_are_refused(loaded, doubles, name, shift, what):
    graph, addresses, stream, scratch = loaded
    graph.lend(scratch)
    with pytest.raises(doubles.Misuse, match=what):
        graph.enqueue({**addresses, name: addresses[name] + shift}, stream)


def test_a_recording_before_the_first_run_is_refused(loaded, doubles):
    graph, addresses, stream, scratch = loaded
    graph.lend(scratch)
    with pytest.raises(doubles.Misuse, match="captured before its first run"):
        cuda.capture(stream, lambda: graph.enqueue(addresses, stream))


def test_the_default_stream_is_refused(loaded, doubles):
    graph, addresses, _, scratch = loaded
    graph.lend(scratch)
    with pytest.raises(doubles.Misuse, match="default stream"):
        graph.enqueue(addresses, 0)


# What the bindings have


def test_each_version_has_what_its_bindings_have_and_nothing_else(gpu, doubles):
    trt = gpu.trt.module
    config = trt.Builder(create_logger(Messages())).create_builder_config()
    assert ("FP16" in trt.BuilderFlag.__members__) is (gpu.version == "10.3")
    with pytest.raises(doubles.NotInTheBindings, match="has no 'max_workspace_size'"):
        config.max_workspace_size = 1  # gone since TensorRT 10
    with pytest.raises(doubles.NotInTheBindings, match="has no 'build_engine'"):
        _ = trt.Builder(create_logger(Messages())).build_engine
    with pytest.raises(doubles.NotInTheBindings, match="does not take"):
        config.set_memory_pool_limit(pool=1, size=2)
    with pytest.raises(doubles.NotInTheBindings, match="tensorrt has no 'cuda_stream'"):
        _ = trt.cuda_stream


def test_what_a_double_lacks_is_no_attribute_either(gpu, monkeypatch):
    monkeypatch.delitem(vars(gpu.trt.module), "Runtime")
    with pytest.raises(NotImplementedError, match="the double of tensorrt lacks 'Runtime'"):
        _ = gpu.trt.module.Runtime


def test_calls_of_cuda_are_held_to_the_bindings(gpu, doubles):
    with pytest.raises(doubles.NotInTheBindings, match="cudaMallocManagedd"):
        _ = gpu.cuda.module.cudaMallocManagedd
    with pytest.raises(doubles.NotInTheBindings, match="cudaMalloc does not take"):
        gpu.cuda.module.cudaMalloc(1, 2)


@pytest.mark.parametrize(
    "mutant",
    [
        lambda config: config.set_flag("FP16") or config.use_fp16,
        lambda config: config.set_workspace(1),
        lambda config: setattr(config, "fp16", True),
    ],
    ids=["attribute", "method", "assignment"],
)
def test_a_call_that_the_bindings_do_not_have_fails_the_build(exported, gpu, doubles, monkeypatch, mutant):
    real = build_module._configure

    def configure(*arguments):
        config = real(*arguments)
        mutant(config)
        return config

    monkeypatch.setattr(build_module, "_configure", configure)
    with pytest.raises(doubles.NotInTheBindings):
        build_engines(exported, BuildOptions((1,)), BuildStatus(None), lambda _: None)


def test_a_network_that_is_not_strongly_typed_is_refused(gpu, doubles):
    with pytest.raises(doubles.Misuse, match="not strongly typed"):
        gpu.trt.module.Builder(create_logger(Messages())).create_network(0)
