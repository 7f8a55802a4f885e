"""Steps of different kinds: each runs on its own graph, and takes the features of the step that kept them."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from tests.runtime.read_back import bytes_of
from tests.runtime.sampling.batches import params
from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.bundle.describe import describe_bundle
from wetgen.runtime.bundle.graphs import (
    DEEP,
    KINDS,
    Plan,
    Step,
    StepKind,
    denoise_graph,
    denoise_name,
    denoises,
    kind_of,
    kinds_of,
)
from wetgen.runtime.engines import load as memory
from wetgen.runtime.engines.build import BuildOptions, build_engines, needed_engines
from wetgen.runtime.engines.build_progress import BuildStatus
from wetgen.runtime.engines.ort import open_engine
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.sampling import sampler as module
from wetgen.runtime.sampling.generator import Generator
from wetgen.runtime.sampling.sampler import SampleInputs, layout_of, starting_noise

PROMPTS = ("black mold in a corner", "a crack in a wet wall", "a brown water stain", "a crack", "mold")
PLAIN = KINDS[:6]  # the kinds of a plan of DDIM


def plan(*kinds):
    return Plan("tried", 0, tuple(Step(999 - n, 0.5, 0.5, *StepKind.named(kind)) for n, kind in enumerate(kinds)))


@pytest.fixture(scope="session")
def mixed(mixed_folder):
    return Bundle.open(mixed_folder)


@pytest.mark.parametrize(
    "kinds, why",
    [
        (["guided_reuse"], "step 0 is guided and reuses deep features; those stored last are none"),
        (["guided", "guided_reuse"], "those stored last are none"),
        (
            ["guided_keep", "unguided_reuse"],
            "step 1 is unguided and reuses deep features; those stored last are guided",
        ),
        (["guided_keep", "unguided_keep", "guided_reuse"], "those stored last are unguided"),
        ([], "it has no steps"),
    ],
)
def test_a_plan_that_no_sampler_can_walk_is_refused(kinds, why):
    with pytest.raises(WetgenError, match="'tried' cannot be walked") as caught:
        plan(*kinds)
    assert why in caught.value.why


def test_a_plan_knows_its_kinds():
    walked = plan("guided_keep", "guided_reuse", "guided", "guided_reuse", "unguided")
    names = ["guided", "guided_keep", "guided_reuse", "unguided"]
    assert [kind.name for kind in walked.kinds] == names and walked.guided
    assert not plan("unguided", "unguided_keep", "unguided_reuse").guided
    assert kinds_of([plan("unguided"), plan("guided")]) == (StepKind(True), StepKind(False))


def test_a_step_is_stored_by_the_name_of_its_kind():
    for kind in PLAIN:
        step = Step(999, 0.25, 0.5, *kind)
        assert step.to_json() == {"timestep": 999, "keep": 0.25, "push": 0.5, "kind": kind.name}
        assert Step.from_json(step.to_json()) == step and StepKind.named(kind.name) == kind
    assert Step.from_json({"timestep": 999, "keep": 0.25, "push": 0.5}).kind == StepKind()  # as format 2 has it
    with pytest.raises(ValueError, match="of the kind 'half'; there are guided, guided_keep, guided_reuse, unguided"):
        Step.from_json({"timestep": 999, "keep": 0.25, "push": 0.5, "kind": "half"})


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_declares_what_it_takes_and_gives(kind, tiny):
    graph = denoise_graph(tiny.MIXED_SIZES, kind)
    inputs = {tensor.name: tensor.sizes(3) for tensor in graph.inputs}
    outputs = {tensor.name: tensor.sizes(3) for tensor in graph.outputs}
    rows = 6 if kind.guided else 3
    assert graph.name == denoise_name(kind) and inputs["embedding"] == (rows, 24, 16)
    assert inputs["guidance"] == (3,) and inputs["step"] == (1,)
    assert inputs.get(DEEP) == ((rows, 6, 8, 8) if kind.cache == "reuse" else None)
    assert outputs.get(DEEP) == ((rows, 6, 8, 8) if kind.cache == "store" else None)


def test_a_bundle_without_guided_steps_has_no_graph_for_them(mixed, tiny, tmp_path):
    assert mixed.kinds == PLAIN and list(mixed.graphs)[1:-2] == [denoise_name(kind) for kind in PLAIN]
    lean = Bundle.open(tiny.write_bundle(tmp_path / "lean", tiny.MIXED_SIZES, plans=tiny.mixed_plans()[1:]))
    denoisers = [f"denoise_unguided{part}" for part in ("", "_keep", "_reuse")]
    assert list(lean.graphs) == ["text", *denoisers, "decode", "encode"]


class Recorder:
    def __init__(self, kind, said):
        self.kind, self.said = kind, said

    def run(self, feed):
        self.said.append((self.kind, feed))
        number = np.float32(len(self.said))
        return {"latent_after": feed["latent"] + number, DEEP: np.full((1, 2), number)}


def test_a_step_takes_its_half_of_the_embedding_and_the_features_kept_last():
    said = []
    engines = {kind: Recorder(kind, said) for kind in PLAIN}
    walked = plan(
        "unguided", "guided_keep", "guided_reuse", "guided", "guided_reuse", "unguided_keep", "unguided_reuse"
    )
    noise, embedding = np.zeros((2, 4, 8, 8), np.float32), np.arange(4 * 5, dtype=np.float32).reshape(4, 5, 1)
    *_, last = module.sample(engines, walked, noise, embedding, {"guidance": np.full(2, 2.5, np.float32)})
    assert [kind for kind, _ in said] == [step.kind for step in walked.steps]
    for kind, feed in said:
        np.testing.assert_array_equal(feed["embedding"], embedding if kind.guided else embedding[2:])
        assert (DEEP in feed) == (kind.cache == "reuse") and feed["guidance"].tolist() == [2.5, 2.5]
    assert [feed[DEEP][0, 0] for _, feed in said if DEEP in feed] == [2, 2, 6]
    assert [int(feed["step"][0]) for _, feed in said] == list(range(7)) and last[0, 0, 0, 0] == sum(range(1, 8))


def test_a_pair_is_what_the_graphs_of_its_kinds_make_of_it(mixed):
    """The whole way of one pair written out, at batch 1; other batches only sum in another order."""
    files = mixed.targets["cpu"].files
    run = {name: open_engine(mixed.graphs[name], files[name], device="cpu", batch=1, threads=1).run for name in files}
    with Generator(mixed, batch=1, threads=1) as generator:
        (pair,) = generator.generate(PROMPTS[:1], seed=3, negative="a dry wall")
        ids = [generator._tokenizer.encode([text]) for text in ("a dry wall", PROMPTS[0])]
    both = np.concatenate([run["text"]({"token_ids": row})["embedding"] for row in ids])
    made = {"latent_after": starting_noise(3, 0, mixed.sizes.latent)[None]}
    features = None
    for row, step in enumerate(mixed.plan("every").steps):
        feed = {
            "latent": made["latent_after"],
            "embedding": both if step.guided else both[1:],
            "conditioning": np.zeros((1, 9, 8, 8), np.float32),
            "step": np.array([row], np.int32),
            "guidance": np.array([3.0], np.float32),
            **({DEEP: features} if step.cache == "reuse" else {}),
        }
        made = run[denoise_name(step.kind)](feed)
        features = made.get(DEEP, features)
    decoded = run["decode"]({"latent": made["latent_after"]})
    np.testing.assert_array_equal(pair.image, decoded["image"][0])
    np.testing.assert_array_equal(pair.mask, decoded["mask"][0])


@pytest.mark.parametrize("name", ["every", "unguided"])
def test_pairs_do_not_depend_on_their_company(mixed, name):
    with Generator(mixed, batch=3, threads=1) as generator:
        together = bytes_of(generator.generate(PROMPTS, seed=5, plan=name))
        alone = [bytes_of(generator.generate(PROMPTS, seed=5, plan=name, indexes=[i]))[0] for i in range(5)]
    assert alone == together


def loaded(generator):
    return {kind_of(name) for name in generator._engines if denoises(name)}


def test_only_the_graphs_of_the_plan_are_loaded(mixed):
    generator = Generator(mixed, batch=1, threads=1)
    assert loaded(generator) == set(PLAIN)  # the default plan has a step of each
    lean = Generator(replace(mixed, default_plan="unguided"), batch=1, threads=1)
    assert loaded(lean) == set(PLAIN[3:])
    next(lean.generate(PROMPTS[:1], plan="every"))
    assert loaded(lean) == set(PLAIN)


def test_a_negative_prompt_without_effect_is_refused(mixed):
    with Generator(mixed, batch=1, threads=1) as generator:
        with pytest.raises(WetgenError, match="'unguided' has no use for a negative prompt"):
            generator.generate(PROMPTS, plan="unguided", negative="a dry wall")
        next(generator.generate(PROMPTS, plan="every", negative="a dry wall"))


@pytest.fixture
def built_mixed(mixed_folder, gpu, tmp_path):
    bundle = Bundle.open(shutil.copytree(mixed_folder, tmp_path / "mixed"))
    build_engines(bundle, BuildOptions((4,)), BuildStatus(None), lambda _: None)
    return bundle


def test_a_device_draws_every_kind_as_the_host_does(built_mixed, gpu):
    """Guided and unguided plans by turns, over enough batches for each set of buffers to be recorded and repeated."""
    options = {"every": {"negative": "a dry wall"}, "unguided": {"guidance": 1.5}}
    drawn = {}
    for device in ("cpu", "tensorrt"):
        with Generator(built_mixed, device=device, batch=4, threads=1) as generator:
            drawn[device] = {
                name: bytes_of(generator.generate(PROMPTS, seed=5, count=4, plan=name, **given))
                for name, given in options.items()
            }
    assert drawn["tensorrt"] == drawn["cpu"]
    assert gpu.cuda.count("cudaStreamBeginCapture") == 4


@pytest.mark.parametrize("name", ["every", "unguided"])
def test_pairs_of_a_batch_may_differ_whatever_the_kind_of_the_steps(built_mixed, gpu, name):
    """Also in batches whose last ones, in the same buffers, were told otherwise."""
    rng = np.random.default_rng(0)
    layouts = [layout_of(rng.integers(0, 4, (32, 32), np.uint8), built_mixed.sizes) for _ in range(3)]

    def inputs(index):
        negative = ["", "a dry wall", "people"][index % 3] if name == "every" else ""
        told = [None, *layouts][index // 3 % 4]
        return SampleInputs(PROMPTS[index % 5], 5, index, params(float(index // 2 % 4), negative), layout=told)

    def drawn(device):
        with Generator(built_mixed, device=device, batch=4, threads=1) as generator:
            plan = built_mixed.plan(name)
            return bytes_of(generator.sample(map(inputs, range(26)), plan))

    made = drawn("cpu")
    assert drawn("tensorrt") == made and len(made) == 26


def test_engines_are_built_for_every_kind(mixed):
    names = [name for name, _ in needed_engines(mixed, [2])]
    assert names == ["text", *(denoise_name(kind) for kind in PLAIN), "decode"]


def test_the_memory_plan_covers_every_kind(built_mixed, gpu):
    said = []
    with Generator(built_mixed, device="tensorrt", batch=4, say=said.append) as generator:
        pairs = generator.generate(PROMPTS)
        next(pairs)
        taken = sum(block.size for block in gpu.cuda.blocks.values() if not block.pinned)
    drawing = ["text", *(denoise_name(kind) for kind in PLAIN), "decode"]
    zero, scratch = dict.fromkeys(drawing, 0), dict.fromkeys(drawing, gpu.trt.scratch)
    planned = memory.plan_memory(built_mixed.graphs, 4, 7, weights=zero, scratch=scratch, integrated=True)
    assert taken <= planned.scratch + planned.buffers <= 1.02 * taken


def test_a_bundle_of_format_2_opens_and_its_steps_are_guided(bundle_folder, tmp_path):
    folder = tmp_path / "older"
    shutil.copytree(bundle_folder, folder)
    info = json.loads((folder / "bundle.json").read_text())
    info["format"] = 2
    info["sizes"].pop("deep_channels")
    (folder / "bundle.json").write_text(json.dumps(info))
    older = Bundle.open(folder)
    assert older.kinds == (StepKind(),) and older.sizes.deep_channels == 0
    assert all(step.kind == StepKind() for plan in older.plans.values() for step in plan.steps)


def test_inspect_says_what_a_plan_does(mixed):
    told = describe_bundle(mixed)
    assert "every: 7 steps, 4 guided, 3 reuse deep features, the default" in told
    assert "unguided: 3 steps, none guided, 1 reuses deep features" in told
