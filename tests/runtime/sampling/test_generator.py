"""Pairs depend on their prompt, seed and index, and on nothing else; guidance goes the way it should."""

import hashlib
import itertools
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from tests.runtime.sampling.batches import Batches, params
from wetgen.runtime import Generator, Pair, WetgenError
from wetgen.runtime.bundle.bundle import open_bundle
from wetgen.runtime.bundle.graphs import GUIDED, Plan, Step
from wetgen.runtime.engines.ort import open_engine
from wetgen.runtime.sampling.sampler import NOT_FINITE, SampleInputs, layout_of, sample, starting_noise

PROMPTS = ("black mold in a corner", "a crack in a wet wall", "a brown water stain", "a crack", "mold")


def same(one: Pair, other: Pair) -> bool:
    """Whether two pairs hold the same bytes and words."""
    pixels = zip((one.image, one.mask, one.confidence), (other.image, other.mask, other.confidence), strict=True)
    named = (one.index, one.prompt, one.seed, one.faults) == (other.index, other.prompt, other.seed, other.faults)
    return named and all(np.array_equal(first, second) for first, second in pixels)


def digest(pairs) -> str:
    """One hash for the bytes of pairs."""
    return hashlib.sha256(
        b"".join(p.image.tobytes() + p.mask.tobytes() + p.confidence.tobytes() for p in pairs)
    ).hexdigest()


@pytest.fixture(scope="module")
def pairs(generator):
    return list(generator.generate(PROMPTS, seed=5, count=2))


class Recorder:
    """An engine that keeps what it was given and adds `guidance` to the latent."""

    def __init__(self):
        self.feeds = []

    def run(self, feed):
        self.feeds.append(dict(feed))
        return {"latent_after": feed["latent"] + feed["guidance"][:, None, None, None]}


def test_sampling_walks_the_plan_row_by_row():
    engine, noise = Recorder(), np.zeros((2, 4, 8, 8), np.float32)
    plan = Plan("p", 7, tuple(Step(t, 1.0, 0.0) for t in (999, 499, 0)))
    embedding = np.arange(4 * 3 * 5, dtype=np.float32).reshape(4, 3, 5)
    guidance = np.full(2, 2.5, np.float32)
    latents = list(sample({GUIDED: engine}, plan, noise, embedding, {"guidance": guidance, "conditioning": noise}))
    assert [feed["step"].tolist() for feed in engine.feeds] == [[7], [8], [9]]
    assert [float(latent[0, 0, 0, 0]) for latent in latents] == [2.5, 5.0, 7.5]
    for feed in engine.feeds:
        assert feed["step"].dtype == np.int32
        assert feed["guidance"].dtype == np.float32 and feed["guidance"].tolist() == [2.5, 2.5]
        assert feed["embedding"] is embedding and feed["conditioning"] is noise
    assert set(engine.feeds[0]) == {"latent", "embedding", "conditioning", "step", "guidance"}
    assert "conditioning" not in next(iter(_first_feed(plan, noise, embedding)))


def _first_feed(plan, noise, embedding):
    engine = Recorder()
    list(sample({GUIDED: engine}, plan, noise, embedding, {"guidance": np.ones(2, np.float32)}))
    return engine.feeds


def test_a_batch_has_uncond_before_cond_and_zeros_for_what_is_free(bundle, monkeypatch):
    generator = Generator(bundle, batch=2, threads=1)
    recorder = generator._engines["denoise"] = Recorder()
    list(generator.generate(PROMPTS[:2], seed=9, negative="a dry wall", guidance=4.0))
    uncond, first, second = (
        generator._engines["text"].run({"token_ids": generator._tokenizer.encode([text])})["embedding"][0]
        for text in ("a dry wall", *PROMPTS[:2])
    )
    feed = recorder.feeds[0]
    np.testing.assert_array_equal(feed["embedding"], [uncond, uncond, first, second])
    np.testing.assert_array_equal(feed["latent"], [starting_noise(9, index, (4, 8, 8)) for index in (0, 1)])
    np.testing.assert_array_equal(feed["conditioning"], np.zeros((2, 9, 8, 8), np.float32))
    assert feed["guidance"].tolist() == [4.0, 4.0]


def test_a_pair_is_what_the_graphs_make_of_its_noise_and_prompts(bundle, pairs, generator):
    """The whole way of pair 6 written out, at batch 1."""
    engine = {
        name: open_engine(bundle.graphs[name], bundle.targets["cpu"].files[name], device="cpu", batch=1, threads=1)
        for name in ("text", "denoise", "decode")
    }
    ids = generator._tokenizer.encode(["", PROMPTS[6 % len(PROMPTS)]])
    embedding = np.concatenate([engine["text"].run({"token_ids": row[None]})["embedding"] for row in ids])
    latent = starting_noise(5, 6, bundle.sizes.latent)[None]
    for row in range(4):  # the plan "four" begins at row 0
        latent = engine["denoise"].run(
            {
                "latent": latent,
                "embedding": embedding,
                "conditioning": np.zeros((1, 9, 8, 8), np.float32),
                "step": np.array([row], np.int32),
                "guidance": np.array([3.0], np.float32),
            }
        )["latent_after"]
    decoded = engine["decode"].run({"latent": latent})
    assert pairs[6].prompt == PROMPTS[1]
    assert close(pairs[6], replace(pairs[6], image=decoded["image"][0], mask=decoded["mask"][0]))


def close(one: Pair, other: Pair) -> bool:
    """Equal up to how another batch size sums: 2 of 255 levels and 1 in 1000 pixels."""
    levels = np.abs(one.image.astype(int) - other.image.astype(int)).max(axis=-1)
    return bool((levels <= 2).mean() >= 0.999 and (one.mask == other.mask).mean() >= 0.999)


def test_pairs_come_in_order_with_their_prompts(pairs):
    assert [pair.index for pair in pairs] == list(range(10))
    assert [pair.prompt for pair in pairs] == [*PROMPTS, *PROMPTS]
    assert {pair.seed for pair in pairs} == {5}
    for pair in pairs:
        assert pair.image.shape == (32, 32, 3) and pair.image.dtype == np.uint8
        assert pair.mask.shape == pair.confidence.shape == (32, 32)
        assert pair.mask.dtype == pair.confidence.dtype == np.uint8 and pair.mask.max() < 4
        assert pair.image.base is None  # it does not keep its batch in memory


def test_all_pairs_differ(pairs):
    for one, other in itertools.combinations(pairs, 2):
        assert not np.array_equal(one.image, other.image)


def test_a_larger_count_changes_no_earlier_pair(generator, pairs):
    more = list(generator.generate(PROMPTS, seed=5, count=3))
    assert all(same(one, other) for one, other in zip(pairs, more, strict=False)) and len(more) == 15


@pytest.mark.parametrize("indexes", [[9, 0, 4], [3], range(9, -1, -1), [2, 2]])
def test_any_order_and_any_company_gives_the_same_bytes(generator, pairs, indexes):
    again = list(generator.generate(PROMPTS, seed=5, count=2, indexes=indexes))
    assert [pair.index for pair in again] == list(indexes)
    assert all(same(pair, pairs[pair.index]) for pair in again)


def test_a_row_is_enough_to_make_a_pair_again(generator, pairs):
    """Text, seed and index: no other prompt of the run is needed."""
    wanted = pairs[7]
    (again,) = generator.generate([wanted.prompt], seed=5, count=8, indexes=[7])
    assert same(again, wanted)


@pytest.mark.parametrize("batch", [1, 8])
def test_another_batch_size_makes_the_same_pairs(bundle, pairs, batch):
    for one, other in zip(
        pairs, Generator(bundle, batch=batch, threads=1).generate(PROMPTS, seed=5, count=2), strict=True
    ):
        assert close(one, other) and one.index == other.index and one.prompt == other.prompt


def test_threads_change_nothing(bundle, pairs):
    assert digest(Generator(bundle, batch=3, threads=2).generate(PROMPTS, seed=5, count=2)) == digest(pairs)


def test_another_process_makes_the_same_bytes(bundle_folder, pairs):
    code = (
        "import hashlib, sys\n"
        "from wetgen.runtime import Generator\n"
        "pairs = Generator.open(sys.argv[1], batch=3, threads=1).generate(sys.argv[2:], seed=5, count=2)\n"
        "data = b''.join(p.image.tobytes() + p.mask.tobytes() + p.confidence.tobytes() for p in pairs)\n"
        "print(hashlib.sha256(data).hexdigest())"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(bundle_folder), *PROMPTS]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() == digest(pairs)


def images(generator, prompts=PROMPTS[:2], **options):
    return np.stack([pair.image for pair in generator.generate(prompts, **options)])


def test_guidance_one_is_the_prompt_alone_and_zero_the_negative_alone(generator):
    """A swap of the halves, or of uncond and cond in the formula, exchanges the two."""
    assert (images(generator, guidance=1.0, negative="mold") == images(generator, guidance=1.0)).all()
    assert (images(generator, guidance=1.0) != images(generator, ["mold", "mold"], guidance=1.0)).any()
    assert (images(generator, guidance=0.0) == images(generator, ["mold", "mold"], guidance=0.0)).all()
    assert (images(generator, guidance=0.0, negative="mold") != images(generator, guidance=0.0)).any()
    assert (images(generator, ["mold"], guidance=1.0) == images(generator, guidance=0.0, negative="mold")[:1]).all()


def test_guidance_pulls_further_the_larger_it_is(generator):
    weak, some, strong = (images(generator, guidance=value).astype(float) for value in (0.0, 1.0, 5.0))
    assert np.abs(strong - weak).mean() > np.abs(some - weak).mean() > 0


@pytest.mark.parametrize("option", [{"seed": 6}, {"plan": "two"}, {"negative": "mold"}, {"guidance": 1.5}])
def test_every_setting_matters(generator, option):
    assert (images(generator, **{"seed": 5, **option}) != images(generator, seed=5)).any()


def test_zero_is_a_value_and_none_the_bundles_default(generator):
    assert (images(generator, guidance=None) == images(generator, guidance=3.0)).all()
    assert (images(generator, plan=None) == images(generator, plan="four")).all()
    assert (images(generator, guidance=0.0) != images(generator, guidance=None)).any()


def test_an_embedding_is_made_once_per_prompt(bundle):
    generator = Generator(bundle, batch=2, threads=1)
    calls, run = [], generator._engines["text"].run
    generator._engines["text"].run = lambda feed: calls.append(1) or run(feed)
    list(generator.generate(PROMPTS, count=4))
    assert len(calls) == len(PROMPTS) + 1


def test_many_prompts_do_not_fill_the_memory(bundle, monkeypatch):
    monkeypatch.setattr("wetgen.runtime.sampling.sampler._EMBEDDING_BYTES", 0)
    small = Generator(bundle, batch=3, threads=1)
    assert digest(small.generate(PROMPTS, seed=5, count=2)) == digest(
        Generator(bundle, batch=3, threads=1).generate(PROMPTS, seed=5, count=2)
    )


def test_pairs_are_made_as_they_are_taken(generator):
    taken = itertools.islice(generator.generate(PROMPTS, count=10**9), 2)
    assert [pair.index for pair in taken] == [0, 1]


def test_images_only(images_only_folder):
    (pair,) = Generator.open(str(images_only_folder), batch=1, threads=1).generate(["mold"])
    assert pair.mask is None and pair.confidence is None and pair.faults == () and pair.image.shape == (32, 32, 3)


# Tries, and the judge


def test_every_try_is_another_picture_and_the_first_the_usual_one(generator, pairs):
    (usual,) = generator.generate(PROMPTS, seed=5, count=2, indexes=[3])
    (first,) = generator.generate(PROMPTS, seed=5, count=2, indexes=[3], attempt=0)
    (second,) = generator.generate(PROMPTS, seed=5, count=2, indexes=[3], attempt=1)
    assert same(usual, pairs[3]) and same(first, pairs[3]) and first.attempt == 0
    assert second.attempt == 1 and second.index == 3 and second.prompt == first.prompt
    assert not np.array_equal(first.image, second.image)


def test_what_is_drawn_next_may_depend_on_what_was_drawn(generator):
    """The next batch is taken when every pair of the last one was yielded, and a batch may have gaps."""
    drawn, seen = [[(0, 0), (1, 0)], [(1, 1)], [(2, 0), (1, 2), (0, 3)]], []
    made = [[SampleInputs(PROMPTS[i], 5, i, params(), attempt=n, index=i) for i, n in batch] for batch in drawn]
    batches = Batches(3, made, seen)
    for pair in generator.sample(batches, generator.bundle.plan(None)):
        seen.append((pair.index, pair.attempt))
        (alone,) = generator.generate(PROMPTS, seed=5, indexes=[pair.index], attempt=pair.attempt)
        assert same(pair, alone)
    assert seen == [which for batch in drawn for which in batch]
    assert batches.asked == [0, 2, 3, 6]


@pytest.fixture(scope="module")
def judging(tiny, tmp_path_factory):
    return Generator.open(tiny.write_bundle(tmp_path_factory.mktemp("judged"), judge=True), batch=3, threads=1)


def test_the_judge_looks_at_every_picture_and_changes_none(judging, pairs):
    judged = list(judging.generate(PROMPTS, seed=5, count=2, judge=True))
    assert all(same(one, other) for one, other in zip(judged, pairs, strict=True))
    assert all(pair.judged is None and pair.judge_confidence is None for pair in pairs)
    for pair in judged:
        seen = judging.judge(pair.image[None])
        np.testing.assert_array_equal(pair.judged, seen["judged"][0])
        np.testing.assert_array_equal(pair.judge_confidence, seen["judge_confidence"][0])
        assert pair.judged.dtype == np.uint8 and pair.judged.shape == (32, 32) and pair.judged.base is None
    assert len(set(np.concatenate([np.unique(pair.judged) for pair in judged]))) > 1


@pytest.mark.parametrize("count", [0, 1, 3, 4, 7])
def test_any_number_of_pictures_is_judged(judging, pairs, count):
    images = np.stack([pair.image for pair in pairs])
    whole = judging.judge(images)
    some = judging.judge(images[:count])
    assert some["judged"].shape == (count, 32, 32)
    for name, seen in some.items():
        np.testing.assert_array_equal(seen, whole[name][:count])


def test_a_bundle_without_a_judge_says_how_to_add_one(generator):
    with pytest.raises(WetgenError, match="This bundle has no judge") as caught:
        generator.generate(PROMPTS, judge=True)
    assert "wetgen judge REAL --bundle BUNDLE --out NEW" in caught.value.fix


class Spoiled:
    """An engine whose outputs are changed before anybody sees them."""

    def __init__(self, engine, spoil):
        self.engine, self.spoil = engine, spoil

    def run(self, feed):
        return self.spoil(self.engine.run(feed))


def test_a_latent_that_is_not_finite_is_caught_and_its_neighbours_are_not(bundle):
    def one_nan(outputs):
        outputs["latent_after"][1, 3, 7, 7] = np.nan
        return outputs

    generator = Generator(bundle, batch=3, threads=1)
    generator._engines["denoise"] = Spoiled(generator._engines["denoise"], one_nan)
    good, bad, other = generator.generate(["mold", "a crack", "mold"])
    assert not good.broken and good.faults == () and not other.broken
    assert bad.broken and NOT_FINITE in bad.faults


def test_a_class_that_was_asked_for_and_is_absent_is_a_fault(bundle):
    def without_mold(outputs):
        return {**outputs, "mask": np.where(outputs["mask"] == 3, 0, outputs["mask"]).astype(np.uint8)}

    generator = Generator(bundle, batch=2, threads=1)
    generator._engines["decode"] = Spoiled(generator._engines["decode"], without_mold)
    mold, crack = generator.generate(["mold", "a crack without mold"])
    assert mold.faults == ("asked for mold, none in the mask",) and not mold.broken
    assert crack.faults == ()


# Layouts and sizes


def halves(*ids, shape=(32, 32)):
    """Masks whose left half is of one class."""
    masks = [np.zeros(shape, np.uint8) for _ in ids]
    for mask, class_id in zip(masks, ids, strict=True):
        mask[:, : shape[1] // 2] = class_id
    return masks


def test_each_prompt_has_the_layout_at_its_place(bundle, monkeypatch):
    generator = Generator(bundle, batch=2, threads=1)
    recorder = generator._engines["denoise"] = Recorder()
    layouts = halves(1, 3)
    list(generator.generate(PROMPTS[:2], count=2, layouts=layouts))
    assert len(recorder.feeds) == 8
    for feed in recorder.feeds:
        for told, mask in zip(feed["conditioning"], layouts, strict=True):
            np.testing.assert_array_equal(told[:4], layout_of(mask, bundle.sizes))
            assert not told[4:].any()


def test_a_layout_may_have_any_size(generator):
    small = halves(1, 3)
    large = [mask.repeat(4, 0).repeat(2, 1) for mask in small]
    for one, other in zip(
        generator.generate(PROMPTS[:2], layouts=small), generator.generate(PROMPTS[:2], layouts=large), strict=True
    ):
        assert same(one, other)
    assert (images(generator, layouts=small) != images(generator)).any()


def test_a_layout_is_fitted_to_the_size_of_the_pictures(bundle):
    """Stretched, half of a picture stays half of it."""
    generator = Generator(bundle, batch=2, threads=1)
    exact, stretched = halves(1, 3, shape=(40, 48)), halves(1, 3)
    one = images(generator, layouts=exact, size=(48, 40))
    np.testing.assert_array_equal(images(generator, layouts=stretched, size=(48, 40)), one)
    assert one.shape == (2, 40, 48, 3)


@pytest.mark.parametrize(
    "options, what",
    [
        ({"layouts": halves(1)}, "There are 1 layouts for 2 prompts."),
        ({"layouts": halves(1, 3, 2)}, "There are 3 layouts for 2 prompts."),
        ({"layouts": halves(1, 4)}, "Layout 1 has class ids that the class table lacks: 4"),
        ({"size": (30, 32)}, "Pictures of 30 x 32 pixels are not possible."),
        ({"size": (28, 32)}, "Pictures of 28 x 32 pixels are not possible."),
        ({"size": (0, 0)}, "Pictures of 0 x 0 pixels are not possible."),
        ({"size": (-32, 32)}, "Pictures of -32 x 32 pixels are not possible."),
        ({"size": (2**20, 64)}, "Pictures of 1048576 x 64 pixels are not possible."),
    ],
)
def test_a_layout_or_size_that_is_not_possible_is_refused_before_the_first_pair(generator, options, what):
    with pytest.raises(WetgenError) as caught:
        generator.generate(PROMPTS[:2], **options)
    assert caught.value.what.startswith(what)


def test_a_bundle_of_images_only_takes_no_layouts(images_only_folder):
    with pytest.raises(WetgenError, match="takes no layouts"):
        Generator.open(images_only_folder, batch=1, threads=1).generate(["a wall"], layouts=halves(0))


def test_the_judge_looks_at_no_other_size(judging):
    with pytest.raises(WetgenError, match="cannot look at pictures of another size"):
        judging.generate(PROMPTS, judge=True, size=(48, 40))
    assert next(judging.generate(PROMPTS, judge=True, size=(32, 32))).judged is not None


@pytest.mark.parametrize(
    "options, what",
    [
        ({"count": 0}, "The count is 0."),
        ({"count": -1}, "The count is -1."),
        ({"seed": -1}, "The seed is -1."),
        ({"seed": 2**63}, f"The seed is {2**63}."),
        ({"guidance": float("nan")}, "The guidance is nan."),
        ({"guidance": float("inf")}, "The guidance is inf."),
        ({"guidance": 1e39}, "The guidance is 1e+39."),
        ({"indexes": [2]}, "There is no pair 2."),
        ({"indexes": [0, -1]}, "There is no pair -1."),
        ({"attempt": -1}, "The attempt is -1."),
        ({"prompts": []}, "There are no prompts."),
        ({"prompts": ["crack " * 40, "mold"]}, "A prompt is too long: "),
        ({"negative": "crack " * 40}, "A prompt is too long: "),
    ],
)
def test_what_is_not_possible_is_said_before_the_first_pair(generator, options, what):
    with pytest.raises(WetgenError) as caught:
        generator.generate(**{"prompts": ["mold", "a crack"], **options})
    assert caught.value.what.startswith(what)


def test_one_string_is_no_list_of_prompts(generator):
    with pytest.raises(TypeError):
        generator.generate("mold")


def test_a_plan_is_asked_by_name(generator):
    with pytest.raises(WetgenError, match="no plan 'fast'"):
        generator.generate(["mold"], plan="fast")


def test_truncation_is_allowed_by_name(generator):
    assert len(list(generator.generate(["crack " * 40], truncate=True))) == 1


def test_the_largest_seed_works(generator):
    assert next(generator.generate(["mold"], seed=2**63 - 1)).seed == 2**63 - 1


@pytest.mark.parametrize(
    "options, what",
    [
        ({"batch": 0}, "batch is 0."),
        ({"threads": 0}, "threads is 0."),
        ({"device": "gpu"}, "There is no device 'gpu'."),
    ],
)
def test_what_cannot_be_loaded_is_refused(bundle, options, what):
    with pytest.raises(WetgenError) as caught:
        Generator(bundle, **options)
    assert caught.value.what == what


def test_an_installation_without_a_bundle_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr("wetgen.runtime.bundle.bundle.SHIPPED", tmp_path / "default")
    with pytest.raises(WetgenError, match="has no bundle"):
        Generator.open()


def test_the_shipped_bundle_is_the_default(monkeypatch, bundle_folder):
    monkeypatch.setattr("wetgen.runtime.bundle.bundle.SHIPPED", bundle_folder)
    assert open_bundle(None).folder == bundle_folder
