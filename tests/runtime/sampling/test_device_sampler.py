"""Drawing on a device: the same bytes as on the host, whatever overlaps, and no byte before its time."""

import itertools
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from tests.runtime.read_back import bytes_of
from tests.runtime.sampling.batches import Batches, params
from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.engines import cuda
from wetgen.runtime.engines import load as memory
from wetgen.runtime.engines.build import BuildOptions, build_engines
from wetgen.runtime.engines.build_progress import BuildStatus
from wetgen.runtime.engines.load import TensorRTGraphs
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.sampling import device as module
from wetgen.runtime.sampling.generator import Generator
from wetgen.runtime.sampling.sampler import NOT_FINITE, SampleInputs, layout_of

PROMPTS = ("black mold in a corner", "a crack in a wet wall", "a brown water stain", "a crack", "mold")


def drawn(bundle, device, **options):
    with Generator(bundle, device=device, batch=4, threads=1) as generator:
        return bytes_of(generator.generate(PROMPTS, **{"seed": 5, "count": 3, **options}))


@pytest.fixture
def on_host(built, gpu):
    """Drawn by ONNX Runtime's engines, at the engines' batch."""
    return lambda **options: drawn(built, "cpu", **options)


@pytest.mark.parametrize(
    "options",
    [{}, {"plan": "two"}, {"negative": "a dry wall", "guidance": 5.0}, {"indexes": [13, 2, 2, 7, 0]}, {"count": 1}],
    ids=str,
)
def test_a_device_draws_what_the_host_draws(built, gpu, on_host, options):
    assert drawn(built, "tensorrt", **options) == on_host(**options)


@pytest.mark.parametrize("steps", [1, 3])
def test_an_odd_number_of_steps_ends_in_the_other_latent(built, gpu, steps):
    path = built.folder / "bundle.json"
    info = json.loads(path.read_text())
    info["plans"]["odd"] = {"first_row": 1, "steps": info["plans"]["four"]["steps"][1 : 1 + steps]}
    path.write_text(json.dumps(info))
    bundle = Bundle.open(built.folder)
    assert drawn(bundle, "tensorrt", plan="odd") == drawn(bundle, "cpu", plan="odd")


def layout(bundle, seed):
    return layout_of(np.random.default_rng(seed).integers(0, 4, (32, 32), np.uint8), bundle.sizes)


def batches_that_differ(bundle):
    """Batches of four, of which every other one goes through the same buffers: each pair has something of its own in
    one of them and not in the next."""
    plain = [SampleInputs(PROMPTS[index % 5], 5, index, params()) for index in range(40)]
    changes = {
        8: {"params": params(5.0)},
        13: {"params": params(negative="a dry wall")},
        18: {"params": params(0.0, "people")},
        20: {"layout": layout(bundle, 0)},
        24: {"params": params(1.0, "people"), "layout": layout(bundle, 1)},
        25: {"params": params(negative="a dry wall"), "layout": layout(bundle, 2), "attempt": 1},
        26: {"params": params(7.5)},
        29: {"layout": layout(bundle, 3)},
        30: {"params": params(negative="a dry wall")},
        37: {"layout": layout(bundle, 0)},
    }
    return plain, [replace(each, **changes.get(index, {})) for index, each in enumerate(plain)], set(changes)


def drawn_as(bundle, device, inputs, plan=None):
    with Generator(bundle, device=device, batch=4, threads=1) as generator:
        return bytes_of(generator.sample(inputs, bundle.plan(plan)))


@pytest.mark.parametrize("plan", ["four", "two"])
def test_pairs_of_a_batch_may_differ_in_guidance_negative_and_layout(built, gpu, plan):
    """As on the host, and so that what one pair is told reaches no other, neither beside it nor after it."""
    plain, wanted, changed = batches_that_differ(built)
    made, usual = drawn_as(built, "tensorrt", wanted, plan), drawn_as(built, "cpu", plain, plan)
    assert made == drawn_as(built, "cpu", wanted, plan)
    assert {index for index in range(40) if made[index] != usual[index]} == changed


def test_a_tail_is_told_what_its_own_pairs_are(built, gpu):
    """A batch that is not full is filled with its first pair, whose guidance and layout go with it."""
    _, wanted, _ = batches_that_differ(built)
    ends = np.cumsum([16, 4, 2, 3, 1, 4, 1, 4])
    batches = [wanted[start:end] for start, end in itertools.pairwise(ends)]
    expected = drawn_as(built, "cpu", wanted)[16:35]
    assert drawn_as(built, "tensorrt", Batches(4, batches)) == expected


def test_what_a_batch_says_like_the_last_one_is_not_uploaded_again(built, gpu, monkeypatch):
    """Six batches of the same prompts: from the third on nothing goes in but noise, until guidance changes."""
    real, uploads = cuda.to_device, []
    monkeypatch.setattr(module.cuda, "to_device", lambda *given: uploads.append(1) or real(*given))
    counts, plan = [], built.plan(None)
    with Generator(built, device="tensorrt", batch=4) as generator, generator._sampler(plan, None) as sampler:
        for number in range(8):
            guidance = 3.0 if number < 6 else 4.0
            before = len(uploads)
            sampler.submit(
                [SampleInputs(prompt, 0, 4 * number + i, params(guidance)) for i, prompt in enumerate(PROMPTS[:4])]
            )
            sampler.collect()
            counts.append(len(uploads) - before)
    # Noise, guidance and conditioning; and the tokens of five texts, the negative's among them, once.
    assert counts == [3 + 5, 3, 1, 1, 1, 1, 2, 2]


def test_what_was_collected_is_not_overwritten_by_the_next_batch(built, gpu):
    made, kept, plan = [], [], built.plan(None)
    with Generator(built, device="tensorrt", batch=4) as generator, generator._sampler(plan, None) as sampler:
        for first in range(0, 24, 4):
            sampler.submit(
                [SampleInputs(prompt, 0, first + place, params()) for place, prompt in enumerate(PROMPTS[:4])]
            )
            made.append(sampler.collect())
            kept.append({name: array.copy() for name, array in made[-1].items()})
    for one, other in zip(made, kept, strict=True):
        assert all(np.array_equal(one[name], other[name]) for name in other)
    assert not np.array_equal(made[0]["image"], made[2]["image"])


@pytest.mark.parametrize("batch, engine", [(1, 1), (2, 4), (4, 4)])
def test_the_smallest_built_batch_that_fits_draws(built, gpu, batch, engine):
    with Generator(built, device="tensorrt", batch=batch) as generator:
        assert generator.batch == engine


def test_a_pair_does_not_depend_on_its_company(built, gpu):
    """Tails are padded in the same engine, so one pair alone has the bytes it has among others."""
    with Generator(built, device="tensorrt", batch=4) as generator:
        together = bytes_of(generator.generate(PROMPTS, seed=5, count=2))
        alone = [bytes_of(generator.generate(PROMPTS, seed=5, count=2, indexes=[i]))[0] for i in range(10)]
    assert alone == together


def test_the_whole_trajectory_is_one_launch_from_the_second_batch_on(built, gpu):
    with Generator(built, device="tensorrt", batch=4) as generator:
        list(generator.generate(PROMPTS[:4], count=6))
    assert gpu.cuda.count("cudaStreamBeginCapture") == 2  # one for each set of buffers
    assert gpu.cuda.count("cudaGraphLaunch") == 5


def test_two_batches_are_under_way(built, gpu):
    """The second is handed over before the first is taken, and no third."""
    seen = []
    made = [[SampleInputs(PROMPTS[i], 0, 4 * n + i, params()) for i in range(4)] for n in range(4)]
    batches = Batches(4, made, seen)
    with Generator(built, device="tensorrt", batch=4) as generator:
        for pair in generator.sample(batches, built.plan(None)):
            seen.append(pair)
    assert batches.asked == [0, 0, 4, 8, 12, 16] and len(seen) == 16


def test_what_comes_back_for_another_try_is_drawn_though_nothing_else_was_left(built, gpu):
    first, second = (SampleInputs(PROMPTS[0], 0, 0, params(), attempt=attempt) for attempt in (0, 1))
    with Generator(built, device="tensorrt", batch=4) as generator:
        pairs = generator.sample(Batches(4, [[first], [], [second]]), built.plan(None))
        assert [pair.attempt for pair in pairs] == [0, 1]


def test_two_draws_may_take_turns(built, gpu, on_host):
    with Generator(built, device="tensorrt", batch=4) as generator:
        first, second = (generator.generate(PROMPTS, seed=5, count=3, plan=plan) for plan in ("four", "two"))
        mixed = list(itertools.chain(*zip(first, second, strict=True)))
    assert bytes_of(mixed[::2]) == on_host() and bytes_of(mixed[1::2]) == on_host(plan="two")


def test_many_prompts_do_not_fill_the_memory(built, gpu, on_host, monkeypatch):
    """With room for two embeddings every other prompt is encoded anew, over one that is not needed any more."""
    monkeypatch.setattr(memory, "EMBEDDING_BYTES", 0)
    assert drawn(built, "tensorrt") == on_host()


def test_each_prompt_is_encoded_once(built, gpu):
    encoded = []
    gpu.trt.damage["embedding"] = lambda made: encoded.append(1) or made
    drawn(built, "tensorrt")
    assert len(encoded) == len(PROMPTS) + 1


def test_a_draw_that_is_left_gives_everything_back(built, gpu):
    """The fixture raises if it does not."""
    with Generator(built, device="tensorrt", batch=4) as generator:
        assert len(list(itertools.islice(generator.generate(PROMPTS, count=100), 3))) == 3


def test_an_error_while_drawing_gives_everything_back(built, gpu):
    with pytest.raises(WetgenError, match="cudaErrorLaunchFailure"), Generator(built, device="tensorrt") as generator:
        pairs = generator.generate(PROMPTS, count=2)
        next(pairs)
        gpu.cuda.fail("cudaEventSynchronize", gpu.cuda.Error.cudaErrorLaunchFailure)
        list(pairs)


def test_images_only(images_only_folder, gpu, tmp_path, tiny):
    """A bundle without masks, and without conditioning."""
    folder = shutil.copytree(images_only_folder, tmp_path / "images")
    info = json.loads((folder / "bundle.json").read_text())
    info["targets"]["jp6"] = {**info["targets"]["cpu"], "batches": [1]}
    (folder / "bundle.json").write_text(json.dumps(info))
    bundle = Bundle.open(folder)
    build_engines(bundle, BuildOptions(), BuildStatus(None), lambda _: None)
    made = {}
    for device in ("cpu", "tensorrt"):
        with Generator(bundle, device=device, batch=1, threads=1) as generator:
            made[device] = [pair.image.tobytes() for pair in generator.generate(PROMPTS)]
    assert made["cpu"] == made["tensorrt"]


# Where a graph cannot be recorded


def test_without_a_recording_the_reason_is_said_and_the_pairs_are_the_same(built, gpu, on_host):
    expected, said = on_host(), []
    gpu.cuda.spoil_captures = True
    with Generator(built, device="tensorrt", batch=4, say=said.append) as generator:
        assert bytes_of(generator.generate(PROMPTS, seed=5, count=3)) == expected
        assert generator.notes == said
    reasons = [line for line in said if line.startswith("no CUDA graph of the whole trajectory")]
    assert len(reasons) == 1 and "cudaErrorStreamCaptureInvalidated" in reasons[0]
    assert gpu.cuda.count("cudaGraphLaunch") == 0


# Wrong results


def test_pictures_of_one_colour_are_decoded_again_once(built, gpu, on_host):
    """Black pictures out of a sound latent: the engine's decoder overflowed."""
    expected, said = on_host(), []
    gpu.trt.damage["image"] = lambda made: np.where(np.arange(4)[:, None, None, None] == 1, 0, made).astype(np.uint8)
    with Generator(built, device="tensorrt", batch=4, threads=1, say=said.append) as generator:
        pairs = list(generator.generate(PROMPTS, seed=5, count=3))
    assert [pair.broken for pair in pairs] == [False] * 15
    for pair, (_, image, *_) in zip(pairs, expected, strict=True):
        again = np.frombuffer(image, np.uint8).reshape(pair.image.shape)
        # Decoded alone instead of among four: another batch may sum in another order.
        assert np.abs(pair.image.astype(int) - again).max() <= 1
    assert said.count("1 pictures of one colour were decoded again by the cpu target; 1 are pictures now") == 4


def test_without_a_second_decoder_they_are_reported_and_broken(built, gpu):
    only = Bundle.open(built.folder)
    only = type(only)(**{**vars(only), "targets": {"jp6": only.targets["jp6"]}})
    gpu.trt.damage["image"] = np.zeros_like
    with Generator(only, device="tensorrt", batch=4) as generator:
        pairs = list(generator.generate(PROMPTS[:4]))
        assert any("no cpu target to decode them with" in note for note in generator.notes)
    assert all(pair.broken for pair in pairs)


def test_a_latent_that_is_not_finite_is_no_decoders_fault(built, gpu):
    def one_nan(made):
        made[2, 0, 0, 0] = np.nan
        return made

    gpu.trt.damage["latent_after"] = one_nan
    with Generator(built, device="tensorrt", batch=4) as generator:
        pairs = list(generator.generate(PROMPTS[:4]))
    assert [NOT_FINITE in pair.faults for pair in pairs] == [False, False, True, False]


# Memory


def test_the_memory_plan_is_said_and_is_what_is_taken(built, gpu):
    """Up to the alignment of each buffer, and without what is set aside for CUDA itself."""
    said = []
    gpu.cuda.properties.totalGlobalMem = 8 * 2**30
    with Generator(built, device="tensorrt", batch=4, say=said.append) as generator:
        pairs = generator.generate(PROMPTS)
        next(pairs)
        taken = {kind: sum(b.size for b in gpu.cuda.blocks.values() if b.pinned is kind) for kind in (False, True)}
    (line,) = [line for line in said if line.startswith("memory: ")]
    assert "of the 4096 MiB that are free" in line
    plan = memory.plan_memory(
        built.graphs,
        4,
        len(built.plan(None).steps),
        weights={"text": 0, "denoise": 0, "decode": 0},
        scratch=dict.fromkeys(("text", "denoise", "decode"), gpu.trt.scratch),
        integrated=True,
    )
    assert taken[False] <= plan.scratch + plan.buffers <= 1.02 * taken[False]
    # The steps' numbers and the guidance are uploaded from pinned memory that the plan does not count.
    assert plan.pinned <= taken[True] <= plan.pinned + 2048


@pytest.mark.parametrize("integrated", [True, False])
def test_the_memory_plan_adds_up(built, integrated):
    """The denoiser and the decoder share the larger scratch; pinned memory counts where it is the GPU's own."""

    def needed(**scratch):
        weights, scratch = {"text": 10**6, "denoise": 2 * 10**6}, {"text": 0, "denoise": 0, "decode": 0, **scratch}
        plan = memory.plan_memory(built.graphs, 4, 4, weights=weights, scratch=scratch, integrated=integrated)
        assert plan.weights == 3 * 10**6 and plan.pinned > 0
        return plan.needed, plan.needed - plan.buffers - plan.weights - plan.pinned * integrated

    nothing, set_aside = needed()
    assert set_aside == 64 * 2**20
    assert needed(denoise=500, decode=700)[0] == nothing + 700 == needed(denoise=700, decode=500)[0]
    assert needed(denoise=700, text=300)[0] == nothing + 1000


@pytest.mark.parametrize("integrated, words", [(1, "shares the machine's memory"), (0, "close other programs")])
def test_a_run_that_does_not_fit_is_refused_before_anything_is_loaded(built, gpu, integrated, words):
    gpu.cuda.properties.integrated, gpu.cuda.free = integrated, 70 * 2**20
    gpu.trt.loads.clear()
    allocated = gpu.cuda.count("cudaMalloc")
    with pytest.raises(WetgenError, match="A batch of 4 does not fit") as caught:
        Generator(built, device="tensorrt", batch=4)
    assert words in str(caught.value) and "a --batch smaller than 4" in caught.value.fix
    assert not gpu.trt.loads and gpu.cuda.count("cudaMalloc") == allocated


def test_memory_that_runs_out_all_the_same_is_told(built, gpu):
    gpu.cuda.fail("cudaMalloc", gpu.cuda.Error.cudaErrorMemoryAllocation)
    with pytest.raises(WetgenError, match="cudaErrorMemoryAllocation") as caught:
        Generator(built, device="tensorrt", batch=4)
    assert caught.value.fix.startswith("use a smaller --batch")


@pytest.mark.parametrize(
    "call", ["cudaMalloc", "cudaHostAlloc", "cudaEventCreateWithFlags", "cudaStreamCreateWithFlags"]
)
def test_any_call_that_fails_gives_everything_back(built, gpu, call):
    """At each of its places; the fixture raises for what is left."""
    before = gpu.cuda.count(call)
    with Generator(built, device="tensorrt", batch=4) as generator:
        list(generator.generate(PROMPTS, judge=True))
    times = gpu.cuda.count(call) - before
    for place in range(times):
        gpu.cuda.failures[call] = [None] * place + [gpu.cuda.Error.cudaErrorMemoryAllocation]
        with (
            pytest.raises(WetgenError, match=call),
            Generator(built, device="tensorrt", batch=4) as generator,
        ):
            list(generator.generate(PROMPTS, judge=True))
        gpu.cuda.finish()
    assert times > 1


# Mutants of the code under test: what the doubles are for


@pytest.mark.parametrize("call", ["let_wait", "record", "wait_for_event"])
def test_a_missing_synchronisation_is_caught(built, gpu, monkeypatch, doubles, on_host, call):
    """Each of the sampler's events, left out one at a time, ends the run or changes its bytes."""
    expected = on_host()
    real, calls = getattr(cuda, call), []
    monkeypatch.setattr(module.cuda, call, lambda *handles: calls.append(1) or real(*handles))
    drawn(built, "tensorrt")
    per_batch = {"let_wait": 2, "record": 3, "wait_for_event": 1}[call]
    assert len(calls) == 4 * per_batch
    for left_out in range(per_batch):
        count = itertools.count()

        def without(*handles, left_out=left_out, count=count):
            if next(count) % per_batch != left_out:
                real(*handles)

        monkeypatch.setattr(module.cuda, call, without)
        try:
            caught = drawn(built, "tensorrt") != expected
        except (doubles.Misuse, WetgenError):
            caught = True
            _forget(gpu)
        assert caught, f"{call} number {left_out} of a batch was not missed"


def _forget(gpu):
    """Drop what a run that was cut short by the double left behind."""
    for table in (gpu.cuda.blocks, gpu.cuda.streams, gpu.cuda.events, gpu.cuda.graphs, gpu.cuda.executables):
        table.clear()


def test_loading_needs_no_generator(built, gpu):
    loaded = TensorRTGraphs(built, built.targets["jp6"], 1, gpu.trt.version, lambda _: None)
    judge = loaded.fed("judge")
    seen = judge.run({"image": np.zeros((1, 32, 32, 3), np.uint8)})
    assert seen["mask"].shape == (1, 32, 32)
    with pytest.raises(WetgenError, match="'image' has shape"):
        judge.run({"image": np.zeros((2, 32, 32, 3), np.uint8)})
    judge.close()
    loaded.graphs.close()
