"""Drawing window by window: at the graphs' own size nothing changes, at others windows meet, what is known stays."""

from dataclasses import replace

import numpy as np
import pytest

from tests.runtime.read_back import bytes_of
from tests.runtime.sampling.batches import params
from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.bundle.graphs import DEEP, GUIDED, Plan, Step, denoise_name
from wetgen.runtime.engines.ort import open_engine
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.sampling.generator import Generator
from wetgen.runtime.sampling.sampler import Known, SampleInputs, layout_of, pad_batch
from wetgen.runtime.sampling.tiled import HostEngines, TiledGraphs, TiledSampler
from wetgen.training.schedule import alphas_cumprod, ddim_steps, timesteps

PROMPTS = ("black mold in a corner", "a crack in a wet wall", "a brown water stain", "a crack", "mold")
CELLS = ((8, 8), (8, 13), (12, 8), (17, 9))  # of a latent; the graphs' own is 8 x 8


def some_known(seed, cells=(8, 8), side=(3, 6)):
    """A latent that is known but for a box."""
    rng = np.random.default_rng(seed)
    where = np.ones(cells, np.float32)
    where[side[0] : side[1], side[0] : side[1]] = 0
    return Known(rng.standard_normal((4, *cells)).astype(np.float32), where)


def some_layout(bundle, seed, cells=(8, 8)):
    mask = np.random.default_rng(seed).integers(0, 4, bundle.sizes.pixels(cells), np.uint8)
    return layout_of(mask, bundle.sizes)


def pairs_wanted(bundle, cells=(8, 8)):
    """Pairs of one size that have nothing in common but that."""
    size = None if cells == (8, 8) else cells
    return [
        SampleInputs(PROMPTS[0], 5, 0, params(), size=size),
        SampleInputs(PROMPTS[1], 5, 1, params(0.5, "a dry wall"), size=size),
        SampleInputs(PROMPTS[2], 6, 1, params(3.0, "people"), layout=some_layout(bundle, 1, cells), size=size),
        SampleInputs(PROMPTS[3], 5, 9, params(7.0), attempt=2, layout=some_layout(bundle, 2, cells), size=size),
        SampleInputs(PROMPTS[4], 5, 2, params(), layout=some_layout(bundle, 3, cells), size=size),
    ]


def canvas_of(bundle, batch, plan=None):
    generator = Generator(bundle, batch=batch, threads=1)
    steps = bundle.plan(plan)
    return generator, generator.tiled(steps), steps


@pytest.fixture(scope="module")
def mixed(mixed_folder):
    return Bundle.open(mixed_folder)


def test_a_batch_is_filled_with_its_first():
    assert pad_batch([7, 8], 4) == [7, 8, 7, 7] and pad_batch([7, 8], 2) == [7, 8]


# At the graphs' own size


@pytest.mark.parametrize("batch", [1, 2, 3, 4])
@pytest.mark.parametrize("plan", ["four", "two"])
def test_at_the_graphs_size_a_canvas_draws_what_the_host_draws(bundle, batch, plan):
    """Bit by bit, whatever company the pairs are in: among five they share batches otherwise than alone."""
    generator, canvas, steps = canvas_of(bundle, batch, plan)
    wanted = pairs_wanted(bundle)
    expected = []
    with generator._sampler(steps, None) as host:
        for each in wanted:
            host.submit(pad_batch([each], batch))
            expected.append({name: array[0] for name, array in host.collect().items()})
    together = canvas.draw(wanted, steps)
    backwards = canvas.draw(wanted[::-1], steps)[::-1]
    for latent, other, made in zip(together, backwards, expected, strict=True):
        np.testing.assert_array_equal(latent, made["latent"])
        np.testing.assert_array_equal(other, made["latent"])
    for drawn, made in zip(canvas.decode(together), expected, strict=True):
        np.testing.assert_array_equal(drawn.image, made["image"])
        np.testing.assert_array_equal(drawn.mask, made["mask"])
        np.testing.assert_array_equal(drawn.confidence, made["confidence"])


@pytest.mark.parametrize("batch", [1, 2, 3, 4])
def test_sizes_may_be_mixed_in_one_call(bundle, batch):
    _, canvas, steps = canvas_of(bundle, batch)
    wanted = [replace(pairs_wanted(bundle, cells)[place], size=cells) for place, cells in enumerate(CELLS)]
    together = canvas.draw(wanted, steps)
    for place, each in enumerate(wanted):
        (alone,) = canvas.draw([each], steps)
        assert alone.shape == (4, *CELLS[place])
        np.testing.assert_array_equal(together[place], alone)
    decoded = canvas.decode(together)
    for latent, drawn in zip(together, decoded, strict=True):
        (alone,) = canvas.decode([latent])
        assert drawn.image.shape == (latent.shape[1] * 4, latent.shape[2] * 4, 3) and drawn.image.dtype == np.uint8
        for one, other in zip(drawn, alone, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ["every", "unguided"])
@pytest.mark.parametrize("batch", [1, 3])
def test_every_kind_of_step_draws_as_on_the_host(mixed, name, batch):
    generator, canvas, steps = canvas_of(mixed, batch, name)
    wanted = pairs_wanted(mixed)
    if name == "unguided":
        wanted = [replace(each, params=params(each.params.guidance)) for each in wanted]
    with generator._sampler(steps, None) as host:
        for each, latent in zip(wanted, canvas.draw(wanted, steps), strict=True):
            host.submit(pad_batch([each], batch))
            np.testing.assert_array_equal(latent, host.collect()["latent"][0])


# At larger sizes


def by_hand(bundle, wanted, plan):
    """The same written out, in float64 where windows meet: every window by engines of batch 1, from row to row.

    Windows of 8 x 8 cells begin at every place of `starts`, and weigh 1, 2, 3, 4, 4, 3, 2, 1 each way.
    """
    starts = {8: [0], 9: [0, 1], 12: [0, 4], 13: [0, 2, 5], 17: [0, 3, 6, 9]}
    files = bundle.targets["cpu"].files
    names = ["text", *map(denoise_name, plan.kinds)]
    run = {name: open_engine(bundle.graphs[name], files[name], device="cpu", batch=1, threads=1).run for name in names}
    tokenizer = Generator(bundle, batch=1, threads=1)._tokenizer
    both = [
        run["text"]({"token_ids": tokenizer.encode([text])})["embedding"]
        for text in (wanted.params.negative, wanted.prompt)
    ]
    height, width = wanted.size
    places = [np.s_[:, top : top + 8, left : left + 8] for top in starts[height] for left in starts[width]]
    ramp = np.array([1, 2, 3, 4, 4, 3, 2, 1.0])
    conditioning, latent = wanted.conditioning(bundle.sizes), wanted.noise(bundle.sizes)
    deep = {}
    for row, step in zip(plan.rows, plan.steps, strict=True):
        total, weights = np.zeros(latent.shape), np.zeros(latent.shape)
        for number, place in enumerate(places):
            feed = {
                "latent": latent[place][None],
                "embedding": np.concatenate(both) if step.guided else both[1],
                "conditioning": conditioning[place][None],
                "step": np.array([row], np.int32),
                "guidance": np.array([wanted.params.guidance], np.float32),
                **({DEEP: deep[number]} if step.cache == "reuse" else {}),
            }
            made = run[denoise_name(step.kind)](feed)
            if step.cache == "store":
                deep[number] = made[DEEP]
            total[place] += np.outer(ramp, ramp) * made["latent_after"][0]
            weights[place] += np.outer(ramp, ramp)
        latent = (total / weights).astype(np.float32)
    return latent


@pytest.mark.parametrize("name", ["every", "unguided"])
@pytest.mark.parametrize("cells", [(12, 8), (8, 13), (17, 9)])
@pytest.mark.parametrize("batch", [1, 3])
def test_a_larger_canvas_is_the_weighted_mean_of_its_windows_at_every_step(mixed, name, cells, batch):
    """With features of each window's own. Float32 and the batch's order of sums: some 1e-5 of latents of size 1."""
    _, canvas, steps = canvas_of(mixed, batch, name)
    negative = "a dry wall" if name == "every" else ""
    wanted = SampleInputs(PROMPTS[1], 5, 3, params(2.0, negative), layout=some_layout(mixed, 7, cells), size=cells)
    other = SampleInputs(PROMPTS[0], 5, 4, params(1.0))
    latent = canvas.draw([other, wanted], steps)[1]
    np.testing.assert_allclose(latent, by_hand(mixed, wanted, steps), atol=1e-4)


def test_pictures_meet_in_their_weighted_mean_to_the_nearest_level(bundle):
    """By hand: two windows of 32 columns, 16 apart, of levels 10 and 21; columns weigh 1, 2, ... 16, 16, ... 2, 1."""

    class Levels:
        def run(self, feed):
            image = np.zeros((2, 32, 32, 3), np.uint8)
            image[0], image[1] = 10, 21
            return {"image": image}

    engines = HostEngines({}, Levels(), None, None, bundle.sizes, 2)
    (drawn,) = TiledGraphs(engines).decode([np.zeros((4, 8, 12), np.float32)])
    ramp = np.array([*range(1, 17), *range(16, 0, -1)])
    middle = [(10 * ramp[16 + place] + 21 * ramp[place]) / (ramp[16 + place] + ramp[place]) for place in range(16)]
    expected = np.round([*[10] * 16, *middle, *[21] * 16]).astype(np.uint8)
    assert drawn.mask is None and drawn.image.shape == (32, 48, 3)
    np.testing.assert_array_equal(drawn.image, np.broadcast_to(expected[:, None], (32, 48, 3)))


def test_windows_see_their_own_part_of_the_layout(bundle):
    """Damage on the right changes nothing in windows that end before it."""
    _, canvas, steps = canvas_of(bundle, 2)
    mask = np.zeros((32, 96), np.uint8)
    free = SampleInputs("a wall", 5, 0, params(1.0), layout=layout_of(mask, bundle.sizes), size=(8, 24))
    mask[:, 90:] = 3
    told = replace(free, layout=layout_of(mask, bundle.sizes))
    plan = Plan("one", 0, steps.steps[:1])
    before, after = canvas.draw([free, told], plan)
    np.testing.assert_array_equal(before[..., :16], after[..., :16])
    assert not np.array_equal(before[..., 22:], after[..., 22:])


def test_a_pair_on_a_canvas_of_the_bundles_size_is_the_usual_pair(bundle):
    with Generator(bundle, batch=3, threads=1) as generator:
        usual = list(generator.generate(PROMPTS, seed=5))
        sized = list(generator.generate(PROMPTS, seed=5, size=(32, 32)))
    for one, other in zip(usual, sized, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.mask, other.mask)


@pytest.mark.parametrize("size", [(52, 32), (32, 48), (36, 68)])
def test_pairs_of_another_size_do_not_depend_on_their_company(bundle, size):
    with Generator(bundle, batch=3, threads=1) as generator:
        together = list(generator.generate(PROMPTS, seed=5, size=size))
        for index in (4, 1):
            (alone,) = generator.generate(PROMPTS, seed=5, size=size, indexes=[index])
            np.testing.assert_array_equal(alone.image, together[index].image)
            np.testing.assert_array_equal(alone.mask, together[index].mask)
            np.testing.assert_array_equal(alone.confidence, together[index].confidence)
    assert together[0].image.shape == (size[1], size[0], 3) and together[0].mask.shape == size[::-1]
    assert len({pair.image.tobytes() for pair in together}) == len(PROMPTS)


def test_pictures_without_masks_have_other_sizes_too(images_only_folder):
    with Generator.open(images_only_folder, batch=2, threads=1) as generator:
        (pair,) = generator.generate(["mold"], size=(40, 64))
    assert pair.image.shape == (64, 40, 3) and pair.mask is None and pair.confidence is None


def test_a_sampler_of_other_sizes_draws_batches_in_their_order(bundle):
    _, canvas, steps = canvas_of(bundle, 2)
    sampler, wanted = TiledSampler(canvas, steps), pairs_wanted(bundle, (8, 12))
    sampler.submit(wanted[:2])
    sampler.submit(pad_batch(wanted[2:3], 2))
    first, second = sampler.collect(), sampler.collect()
    assert len(first["latent"]) == 2 and len(second["latent"]) == 1  # what only fills a batch is not drawn
    np.testing.assert_array_equal(np.concatenate([first["latent"], second["latent"]]), canvas.draw(wanted[:3], steps))


# What is known


@pytest.mark.parametrize("cells", [(8, 8), (11, 14)])
@pytest.mark.parametrize("plan", ["four", "two"])
def test_what_is_known_is_there_to_the_last_bit(bundle, cells, plan):
    """The plans end clean: alpha-bar is 1 after the last step."""
    _, canvas, steps = canvas_of(bundle, 3, plan)
    knowns = [some_known(seed, cells) for seed in range(3)]
    wanted = [
        SampleInputs(PROMPTS[place], 5, place, params(), known=known, size=cells) for place, known in enumerate(knowns)
    ]
    free = replace(wanted[0], known=None)
    *latents, untouched = canvas.draw([*wanted, free], steps, bundle.alphas_after(steps))
    for known, latent in zip(knowns, latents, strict=True):
        there = known.where > 0
        np.testing.assert_array_equal(latent[:, there], known.latent[:, there])
        assert (latent[:, ~there] != known.latent[:, ~there]).all()
    np.testing.assert_array_equal(untouched, canvas.draw([free], steps)[0])


class Watched:
    """An engine whose every latent is kept; it predicts nothing but noise."""

    def __init__(self):
        self.latents = []

    def run(self, feed):
        self.latents.append(feed["latent"].copy())
        return {"latent_after": np.full_like(feed["latent"], 77.0)}


@pytest.mark.parametrize("steps", [1, 3, 6])
def test_before_every_step_what_is_known_is_noised_as_the_latent_is(bundle, steps):
    """RePaint's equation 8a: sqrt(a) x0 + sqrt(1 - a) eps, with alpha-bar of the timestep that comes."""
    table = alphas_cumprod()
    plan = Plan("tried", 0, ddim_steps(table, timesteps(1000, steps)))
    watched, known = Watched(), some_known(0)
    engines = HostEngines({GUIDED: watched}, None, None, lambda _: np.zeros((24, 16)), bundle.sizes, 1)
    wanted = SampleInputs("a crack", 5, 0, params(), known=known)
    (latent,) = TiledGraphs(engines).draw([wanted], plan, bundle.alphas_after(plan))
    noise, there = wanted.noise(bundle.sizes), known.where > 0
    np.testing.assert_array_equal(watched.latents[0][0], noise)  # the noisiest timestep is nothing but noise
    for step, seen in zip(plan.steps[1:], watched.latents[1:], strict=True):
        a = table[step.timestep]
        expected = np.sqrt(a) * known.latent + np.sqrt(1 - a) * noise
        np.testing.assert_allclose(seen[0][:, there], expected[:, there], rtol=1e-5, atol=1e-6)  # float32
        assert (seen[0][:, ~there] == 77).all()
    np.testing.assert_array_equal(latent[:, there], known.latent[:, there])


def test_a_schedule_that_does_not_end_clean_leaves_a_little_noise(bundle):
    table = alphas_cumprod()
    plan = Plan("tried", 0, ddim_steps(table, timesteps(1000, 2), final=float(table[0])))
    engines = HostEngines({GUIDED: Watched()}, None, None, lambda _: np.zeros((24, 16)), bundle.sizes, 1)
    wanted, alphas = SampleInputs("a crack", 5, 0, params(), known=some_known(0)), [float(table[499]), float(table[0])]
    (latent,) = TiledGraphs(engines).draw([wanted], plan, alphas)
    there = wanted.known.where > 0
    expected = np.sqrt(table[0]) * wanted.known.latent + np.sqrt(1 - table[0]) * wanted.noise(bundle.sizes)
    np.testing.assert_allclose(latent[:, there], expected[:, there], rtol=1e-5, atol=1e-6)  # float32


def test_the_denoiser_is_told_what_is_known(bundle):
    """Window by window, in the channels behind the layout's."""

    class Told:
        def __init__(self):
            self.seen = []

        def run(self, feed):
            self.seen.append(feed["conditioning"][0].copy())
            return {"latent_after": feed["latent"]}

    told, known = Told(), some_known(0, (8, 12))
    engines = HostEngines({GUIDED: told}, None, None, lambda _: np.zeros((24, 16)), bundle.sizes, 1)
    wanted = SampleInputs("a crack", 5, 0, params(), known=known, size=(8, 12))
    TiledGraphs(engines).draw([wanted], Plan("one", 0, (Step(999, 1.0, 0.0),)), [1.0])
    whole = wanted.conditioning(bundle.sizes)
    np.testing.assert_array_equal(np.stack(told.seen), [whole[..., :8], whole[..., 4:]])
    np.testing.assert_array_equal(whole[-1], known.where)


# Photographs


@pytest.mark.parametrize("batch", [1, 2, 4])
def test_photographs_of_any_size_are_encoded_in_windows(bundle, batch):
    _, canvas, _ = canvas_of(bundle, batch)
    rng = np.random.default_rng(0)
    shapes = [(32, 32), (32, 48), (44, 36)]
    images = [rng.integers(0, 256, (*shape, 3)).astype(np.uint8) for shape in shapes]
    masks = [rng.integers(0, 4, shape).astype(np.uint8) for shape in shapes]
    latents = canvas.encode(images, masks)
    engine = open_engine(
        bundle.graphs["encode"], bundle.targets["cpu"].files["encode"], device="cpu", batch=1, threads=1
    )
    whole = engine.run({"image": images[0][None], "mask": masks[0][None]})["latent"][0]
    np.testing.assert_allclose(latents[0], whole, atol=1e-5)  # another batch sums in another order
    for image, mask, latent in zip(images, masks, latents, strict=True):
        assert latent.shape == (4, mask.shape[0] // 4, mask.shape[1] // 4) and latent.dtype == np.float32
        corner = engine.run({"image": image[None, -32:, -32:], "mask": mask[None, -32:, -32:]})["latent"][0]
        # The tiny encoder sees one cell at a time, so that all windows agree on a cell.
        np.testing.assert_allclose(latent[:, -8:, -8:], corner, atol=1e-4)
        (alone,) = canvas.encode([image], [mask])
        np.testing.assert_array_equal(latent, alone)


def test_a_bundle_without_graphs_for_a_cpu_takes_no_photographs(built, gpu):
    only = type(built)(**{**vars(built), "targets": {"jp6": built.targets["jp6"]}})
    with Generator(only, device="tensorrt", batch=4) as generator:
        canvas = generator.tiled(only.plan(None))
        with pytest.raises(WetgenError, match="cannot take photographs"):
            canvas.encode([np.zeros((32, 32, 3), np.uint8)], [np.zeros((32, 32), np.uint8)])


# On a device


@pytest.mark.parametrize("options", [{}, {"plan": "two", "negative": "a dry wall", "guidance": 5.0}], ids=str)
def test_a_device_draws_other_sizes_as_the_host_does(built, gpu, options):
    """What is loaded for it is given back when the generator closes: the fixture raises if it is not."""
    drawn, said = {}, []
    for device in ("cpu", "tensorrt"):
        with Generator(built, device=device, batch=4, threads=1, say=said.append) as generator:
            pairs = generator.generate(PROMPTS, seed=5, count=2, size=(52, 40), **options)
            drawn[device] = bytes_of(pairs)
    assert drawn["tensorrt"] == drawn["cpu"]
    assert said.count("pictures of other sizes and photographs are drawn through the host, step by step") == 1


def test_a_device_draws_both_sizes_by_turns_and_loads_nothing_twice(built, gpu):
    with Generator(built, device="tensorrt", batch=4) as generator:
        usual = bytes_of(generator.generate(PROMPTS, seed=5))
        loaded = len(gpu.trt.loads)
        wide = bytes_of(generator.generate(PROMPTS, seed=5, size=(48, 32)))
        fed = len(gpu.trt.loads)
        assert bytes_of(generator.generate(PROMPTS, seed=5)) == usual
        assert bytes_of(generator.generate(PROMPTS, seed=5, size=(48, 32), plan="two")) != wide
        assert bytes_of(generator.generate(PROMPTS, seed=5, size=(48, 32))) == wide
        assert fed - loaded == 3 and len(gpu.trt.loads) == fed  # text, denoise, decode
        before = sum(not block.pinned for block in gpu.cuda.blocks.values())
        assert before > 0
    assert not gpu.cuda.blocks and not gpu.cuda.streams


def test_a_device_that_fails_while_other_sizes_are_drawn_gives_everything_back(built, gpu):
    with pytest.raises(WetgenError, match="cudaErrorLaunchFailure"), Generator(built, device="tensorrt") as generator:
        pairs = generator.generate(PROMPTS, count=2, size=(48, 32))
        next(pairs)
        gpu.cuda.fail("cudaStreamSynchronize", gpu.cuda.Error.cudaErrorLaunchFailure)
        list(pairs)
