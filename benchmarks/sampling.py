"""How fast `wetgen run` samples on the CPU, against the same sampling written with diffusers and torch.

python -m wetgen.benchmarks.sampling CHECKPOINT BUNDLE

Same weights, plan, threads, prompts and noise, taking turns in one run; a guided step and a whole batch of pairs are
timed apart. Both sides' pictures are compared with the float32 reference sampler before a number is printed.
"""

from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import torch
from numpy.typing import NDArray

from wetgen.benchmarks import measure, records
from wetgen.benchmarks.baselines import DiffusersSampler
from wetgen.benchmarks.records import Record
from wetgen.export.verify import psnr
from wetgen.runtime.engines import open_engine
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.generator import Generator
from wetgen.runtime.noise import starting_noise
from wetgen.training.checkpoint import Checkpoint
from wetgen.training.sample import free_conditioning, sample
from wetgen.training.sheets import as_bytes
from wetgen.training.text_encoder import embed, token_ids

Pictures = tuple[NDArray[np.uint8], NDArray[np.uint8]]
BASELINE, OURS = "diffusers and torch, eager", "wetgen on ONNX Runtime"
SEED = 11
LEAST_PSNR = 40.0  # below this a candidate draws other pictures, and a ratio would compare different work


@click.command()
@click.argument("checkpoint", type=click.Path(exists=True, path_type=Path))
@click.argument("bundle", type=click.Path(exists=True, path_type=Path))
@click.option("--plan", help="Sampling plan.  [default: the bundle's]")
@click.option("--batch", default=1, show_default=True, type=click.IntRange(min=1))
@click.option("--threads", default=2, show_default=True, type=click.IntRange(min=1))
@click.option("--runs", default=15, show_default=True, type=click.IntRange(min=3), help="Turns that count.")
@click.option("--out", type=click.Path(path_type=Path), help="Rows are added here.  [default: the results folder]")
def main(
    checkpoint: Path, bundle: Path, plan: str | None, batch: int, threads: int, runs: int, out: Path | None
) -> None:
    """Measure, print, and keep the rows."""
    torch.set_num_threads(threads)
    generator = Generator.open(bundle, batch=batch, threads=threads)
    chosen = generator.bundle.plan(plan)
    rows = compare(Checkpoint.load(checkpoint), generator, chosen.name, runs)
    for row in rows:
        pace = f"{row.median_ms:9.1f} ms  x{row.times_as_fast:.2f}"
        click.echo(f"{row.comparison:14} {row.name:28} {pace}  {row.least_psnr_db:.1f} dB")
    records.append(records.RESULTS / "sampling-cpu.jsonl" if out is None else out, rows)


def compare(checkpoint: Checkpoint, generator: Generator, plan: str, runs: int) -> list[Record]:
    """Rows for a guided step and for a batch of pairs; raises WetgenError when the two draw different pictures."""
    bundle, batch = generator.bundle, generator.batch
    steps, guidance = bundle.plans[plan].steps, bundle.default_guidance
    prompts = (list(bundle.info["prompts"]) * batch)[:batch]
    torchy = DiffusersSampler(checkpoint, len(steps), guidance)
    truth = reference(checkpoint, prompts, plan, generator)
    works: dict[str, Callable[[], Pictures]] = {
        BASELINE: lambda: torchy.generate(prompts, SEED),
        OURS: lambda: drawn(generator, prompts, plan),
    }
    errors = {name: error(work(), truth) for name, work in works.items()}
    for name, (decibels, _) in errors.items():
        if decibels < LEAST_PSNR:
            raise WetgenError(
                f"{name} draws other pictures than the reference sampler.",
                why=f"the worst pair is at {decibels:.1f} dB, below {LEAST_PSNR}.",
                fix="give the checkpoint that this bundle was exported from.",
            )
    comparisons = {"guided step": step_works(torchy, generator, len(steps), guidance), "batch of pairs": works}
    rows = []
    for comparison, candidates in comparisons.items():
        times = measure.take_turns(candidates, runs=runs)
        for name in candidates:
            rows.append(
                Record(
                    comparison=comparison,
                    name=name,
                    bundle=bundle.hash[:12],
                    plan=plan,
                    batch=batch,
                    threads=torch.get_num_threads(),
                    runs=runs,
                    median_ms=round(measure.percentile(times[name], 0.5), 2),
                    p90_ms=round(measure.percentile(times[name], 0.9), 2),
                    times_as_fast=round(measure.paired_ratio(times[BASELINE], times[name]), 3),
                    least_psnr_db=round(errors[name][0], 1),
                    mask_agreement=round(errors[name][1], 5),
                )
            )
    return rows


def step_works(
    torchy: DiffusersSampler, generator: Generator, steps: int, guidance: float
) -> dict[str, Callable[[], object]]:
    """One guided step of each side, at the runtime's batch and threads."""
    bundle, batch = generator.bundle, generator.batch
    sizes = bundle.sizes
    path = bundle.targets["cpu"].files["denoise"]
    engine = open_engine(bundle.graphs["denoise"], path, device="cpu", batch=batch, threads=generator.threads)
    rng = np.random.default_rng(0)
    feed = {
        tensor.name: rng.standard_normal(tensor.sizes(batch)).astype(tensor.dtype)
        for tensor in bundle.graphs["denoise"].inputs
    }
    feed["step"] = np.array([steps // 2], np.int32)
    latent, embedding = torch.from_numpy(feed["latent"]), torch.from_numpy(feed["embedding"])
    single = DiffusersSampler(torchy.parts, 1, guidance)
    assert latent.shape[1:] == sizes.latent
    return {BASELINE: lambda: single.denoise(latent, embedding), OURS: lambda: engine.run(feed)}


def drawn(generator: Generator, prompts: list[str], plan: str) -> Pictures:
    """A batch as the runtime draws it."""
    pairs = list(generator.generate(prompts, seed=SEED, plan=plan))
    return np.stack([pair.image for pair in pairs]), np.stack([_mask(pair.mask) for pair in pairs])


def _mask(mask: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    if mask is None:
        raise WetgenError("This bundle draws no masks.", why="the comparison is of pairs.", fix="give a wetgen bundle.")
    return mask


@torch.inference_mode()
def reference(checkpoint: Checkpoint, prompts: list[str], plan: str, generator: Generator) -> Pictures:
    """The same batch by the float32 reference sampler."""
    noise = torch.from_numpy(np.stack([starting_noise(SEED, n, checkpoint.sizes.latent) for n in range(len(prompts))]))
    embedding = embed(checkpoint.text_encoder, token_ids(checkpoint.tokenizer, ["", *prompts]))
    uncond, cond = embedding[:1].expand(len(prompts), -1, -1), embedding[1:]
    bundle = generator.bundle
    extra = free_conditioning(checkpoint.unet, noise)
    *_, latent = sample(checkpoint.unet, noise, uncond, cond, bundle.plans[plan].steps, bundle.default_guidance, extra)
    image, logits = checkpoint.vae.decode(latent)
    assert logits is not None
    return as_bytes(image), logits.argmax(1).to(torch.uint8).numpy()


def error(got: Pictures, truth: Pictures) -> tuple[float, float]:
    """The worst pair's PSNR in dB and the worst pair's share of equal mask pixels."""
    decibels = min(psnr(a, b) for a, b in zip(got[0], truth[0], strict=True))
    return decibels, min(float((a == b).mean()) for a, b in zip(got[1], truth[1], strict=True))


if __name__ == "__main__":
    main()
