"""DPM-Solver++ on every sampler: the x0 that a step predicts is kept for the next one, on the host as on a device."""

import shutil

import numpy as np
import pytest

from tests.runtime.sampling.batches import params
from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.bundle.graphs import CLEAN, DEEP, Step, denoise_name
from wetgen.runtime.engines import load as memory
from wetgen.runtime.engines.build import BuildOptions, build_engines
from wetgen.runtime.engines.build_progress import BuildStatus
from wetgen.runtime.engines.ort import open_engine
from wetgen.runtime.sampling.generator import Generator
from wetgen.runtime.sampling.sampler import SampleInputs, starting_noise
from wetgen.training.schedule import alphas_cumprod, dpmpp_steps, timesteps

PROMPTS = ("black mold in a corner", "a crack in a wet wall", "a brown water stain", "a crack", "mold")


def bytes_of(pairs):
    return [(p.index, p.image.tobytes(), p.mask.tobytes(), p.confidence.tobytes(), p.faults) for p in pairs]


def test_a_bundle_keeps_the_coefficients(multistep_folder, tiny):
    assert list(Bundle.open(multistep_folder).plans.values()) == tiny.multistep_plans()
    (first, *_) = dpmpp_steps(alphas_cumprod(), timesteps(1000, 3))
    assert Step.from_json(first.to_json()) == first and first.kind.name == "guided_multistep"


@pytest.mark.parametrize("plan", ["plain", "every"])
def test_a_pair_is_what_the_graphs_make_of_it(multistep_folder, plan):
    """The whole way of one pair written out."""
    bundle = Bundle.open(multistep_folder)
    files = bundle.targets["cpu"].files
    run = {name: open_engine(bundle.graphs[name], files[name], device="cpu", batch=1, threads=1).run for name in files}
    with Generator(bundle, batch=1, threads=1) as generator:
        (pair,) = generator.generate(PROMPTS[:1], seed=3, plan=plan)
        ids = [generator._tokenizer.encode([text]) for text in ("", PROMPTS[0])]
    both = np.concatenate([run["text"]({"token_ids": row})["embedding"] for row in ids])
    latent = starting_noise(3, 0, bundle.sizes.latent)[None]
    clean, features = np.full_like(latent, 7.0), None  # the first step must not look at it
    for row, step in zip(bundle.plan(plan).rows, bundle.plan(plan).steps, strict=True):
        feed = {
            "latent": latent,
            "embedding": both if step.guided else both[1:],
            "conditioning": np.zeros((1, 9, 8, 8), np.float32),
            "step": np.array([row], np.int32),
            "guidance": np.array([3.0], np.float32),
            CLEAN: clean,
            **({DEEP: features} if step.cache == "reuse" else {}),
        }
        made = run[denoise_name(step.kind)](feed)
        latent, clean, features = made["latent_after"], made["clean_after"], made.get(DEEP, features)
    np.testing.assert_array_equal(pair.image, run["decode"]({"latent": latent})["image"][0])


@pytest.mark.parametrize("plan", ["plain", "every"])
def test_tiles_draw_what_the_host_draws(multistep_folder, plan):
    with Generator(Bundle.open(multistep_folder), batch=2, threads=1) as generator:
        (pair,) = generator.generate(PROMPTS[:1], seed=3, plan=plan)
        steps = generator.bundle.plan(plan)
        tiles = generator.tiled(steps)
        (wide,) = generator.generate(PROMPTS[:1], seed=3, plan=plan, size=(48, 32))
        (latent,) = tiles.draw([SampleInputs(PROMPTS[0], 3, 0, params())], steps)
        (drawn,) = tiles.decode([latent])
    np.testing.assert_array_equal(drawn.image, pair.image)
    assert wide.image.shape == (32, 48, 3) and not wide.faults


@pytest.mark.parametrize("plan", ["plain", "every"])
def test_a_device_draws_what_the_host_draws(multistep_folder, gpu, tmp_path, plan):
    """Over enough batches for each set of buffers to be recorded and repeated."""
    bundle = Bundle.open(shutil.copytree(multistep_folder, tmp_path / "built"))
    build_engines(bundle, BuildOptions((4,)), BuildStatus(None), lambda _: None)
    drawn = {}
    for device in ("cpu", "tensorrt"):
        with Generator(bundle, device=device, batch=4, threads=1) as generator:
            pairs = generator.generate(PROMPTS, seed=5, count=4, plan=plan)
            drawn[device] = bytes_of(pairs)
            if device == "tensorrt":
                assert gpu.cuda.count("cudaStreamBeginCapture") == 2
    assert drawn["tensorrt"] == drawn["cpu"]


def test_the_memory_plan_counts_what_is_kept(multistep_folder, gpu, tmp_path):
    bundle = Bundle.open(shutil.copytree(multistep_folder, tmp_path / "built"))
    build_engines(bundle, BuildOptions((4,)), BuildStatus(None), lambda _: None)
    with Generator(bundle, device="tensorrt", batch=4) as generator:
        pairs = generator.generate(PROMPTS, plan="every")
        next(pairs)
        taken = sum(block.size for block in gpu.cuda.blocks.values() if not block.pinned)
    drawing = ["text", *(denoise_name(kind) for kind in bundle.kinds), "decode"]
    zero, scratch = dict.fromkeys(drawing, 0), dict.fromkeys(drawing, gpu.trt.scratch)
    planned = memory.plan_memory(bundle.graphs, 4, 7, weights=zero, scratch=scratch, integrated=True)
    assert taken <= planned.scratch + planned.buffers <= 1.02 * taken
