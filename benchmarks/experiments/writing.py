"""What a run costs without the networks: drawing with instant engines, checks, encoding, rows and files.

python -m wetgen.benchmarks.experiments.writing [--pairs 10000] [--shards 1000]

The run is the one of `wetgen run`, on the bundle that ships; only its graphs are replaced. Afterwards each part is
measured alone, on one thread; everything else is what they leave of the run's CPU time: checks on writing, tar headers,
the handing over between threads, the contact sheet, and what threads that take turns lose in the caches.
"""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from itertools import cycle, islice
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image

import wetgen.runtime.run.run as runs
from wetgen.benchmarks.speed import machine
from wetgen.runtime.bundle.bundle import open_bundle
from wetgen.runtime.bundle.graphs import Array, Graph, Sizes
from wetgen.runtime.dataset.metadata import row_line
from wetgen.runtime.dataset.shards import ShardWriter
from wetgen.runtime.dataset.writer import DatasetWriter, PairWriter, Prepared
from wetgen.runtime.files import lines_sha256
from wetgen.runtime.masks.images import encode_mask, encode_png
from wetgen.runtime.run.filters import Examiner
from wetgen.runtime.run.options import RunOptions
from wetgen.runtime.run.record import RunConfig, pair_row
from wetgen.runtime.run.run import SilentProgress
from wetgen.runtime.run.tasks import Listed, PromptRequests, PromptTask
from wetgen.runtime.sampling.generator import Generator
from wetgen.runtime.sampling.sampler import Pair

VARIED = 64  # different pairs that the decoder gives in turn
PROMPTS = tuple(f"a brown water stain on a {wall} wall" for wall in ("white", "grey", "brick", "wooden", "tiled"))
_RSS_SAMPLES = 10
_PART_PAIRS = 128


class InstantEngine:
    """An engine that answers at once: zeros, and from the decoder prepared pictures in turn."""

    def __init__(self, graph: Graph, batch: int, pictures: Mapping[str, Array]) -> None:
        self._answer = {t.name: np.zeros(t.sizes(batch), t.dtype) for t in graph.outputs}
        self._pictures, self._indices = pictures, cycle(range(VARIED))
        self._decodes = "image" in self._answer

    def run(self, feed: Mapping[str, Array]) -> dict[str, Array]:
        if not self._decodes:
            return self._answer
        indices = list(islice(self._indices, len(self._answer["image"])))
        return {name: self._pictures[name][indices] for name in self._answer}


class InstantGenerator(Generator):
    """A generator with instant engines."""

    def _load(self, name: str) -> InstantEngine:
        batch = 1 if name == "text" else self.batch
        return InstantEngine(self.bundle.graphs[name], batch, drawn_like(self.bundle.sizes))


def drawn_like(sizes: Sizes) -> dict[str, Array]:
    """VARIED images, masks and confidences that compress about as drawn ones do: slopes and grain, soft-edged blobs."""
    random = np.random.default_rng(0)
    shape = (VARIED, sizes.height, sizes.width)
    surface = np.stack([_smooth(random, sizes, 4) for _ in range(VARIED)])
    tint = random.uniform(0.8, 1.0, (VARIED, 1, 1, 3))
    grain = random.normal(0, 1.2, (*shape, 1)) + random.normal(0, 0.5, (*shape, 3))
    image = (128 + 60 * surface[..., None]) * tint + grain
    field = np.stack([_smooth(random, sizes, 2) for _ in range(VARIED)])
    mask = np.where(field > 1.0, 1 + np.arange(VARIED)[:, None, None] % max(1, sizes.classes - 1), 0)
    confidence = 255 * np.clip(0.55 + 2 * np.abs(field - 1.0), 0, 1) - np.abs(random.normal(0, 2.0, shape))
    arrays = {"image": image, "mask": mask, "confidence": confidence}
    return {name: np.clip(array, 0, 255).astype(np.uint8) for name, array in arrays.items()}


def _smooth(random: np.random.Generator, sizes: Sizes, octaves: int) -> NDArray[np.float32]:
    """(H, W) noise of mean 0 and deviation 1, coarse and, by octaves, finer and weaker."""
    total = np.zeros((sizes.height, sizes.width), np.float32)
    for octave in range(octaves):
        side = 3 * 2**octave
        coarse = Image.fromarray(random.standard_normal((side, side), np.float32))
        total += np.asarray(coarse.resize((sizes.width, sizes.height), Image.Resampling.BICUBIC)) * 0.6**octave
    return (total - total.mean()) / total.std()


class MemoryLog(SilentProgress):
    """Records the memory of the process while pairs are stored."""

    def __init__(self) -> None:
        self.stored_pairs, self.rss_mib = 0, list[float]()

    def start(self, total: int, already: int) -> None:
        self._every = max(1, total // _RSS_SAMPLES)

    def stored(self, row: Mapping[str, object]) -> None:
        self.stored_pairs += 1
        if self.stored_pairs % self._every == 0 or self.stored_pairs == 1:
            self.rss_mib.append(rss_mib())


def rss_mib() -> float:
    """Resident memory of this process in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)


def measure(folder: Path, pairs: int, batch: int, shards: int | None) -> dict[str, object]:
    """Run once into the new folder `folder`, then measure the parts; the row of it all."""
    bundle = open_bundle(None)
    generator = InstantGenerator(bundle, batch=batch)
    options = RunOptions(out=folder, shards=shards)
    config = options.config(bundle, len(PROMPTS), lines_sha256(PROMPTS))
    watch, count = MemoryLog(), -(-pairs // len(PROMPTS))
    began, cpu_began = time.perf_counter(), time.process_time()
    task = PromptTask(PromptRequests(Listed(PROMPTS, count), config), config)
    record = runs.run_on(generator, task, options, watch)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu_began
    written = int(record["counts"]["written"])
    parts = measure_parts(generator, config, folder.with_name(f"{folder.name}-parts"), shards)
    parts["everything else"] = 1e6 * cpu / written - sum(parts.values())
    return {
        "benchmark": "writing",
        "pairs": written,
        "size": [bundle.sizes.width, bundle.sizes.height],
        "batch": batch,
        "shards": shards,
        "pairs_per_second": round(written / seconds, 1),
        "cpu_us_per_pair": round(1e6 * cpu / written, 1),
        "parts_us": {name: round(value, 1) for name, value in parts.items()},
        "bytes_per_pair": round(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / written),
        "rss_mib": watch.rss_mib,
        "machine": machine.machine(),
        "versions": machine.versions(),
        "commit": machine.commit(),
        "date": time.strftime("%Y-%m-%d"),
    }


def measure_parts(generator: InstantGenerator, config: RunConfig, folder: Path, shards: int | None) -> dict[str, float]:
    """Microseconds of CPU a pair for each part alone, on one thread."""
    bundle = generator.bundle
    examine = Examiner(config.filter, bundle)
    found: dict[str, float] = {}

    def timed(name: str, work: Callable[[], list[object]]) -> list[object]:
        began = time.thread_time()
        done = work()
        found[name] = 1e6 * (time.thread_time() - began) / _PART_PAIRS
        return done

    count = -(-_PART_PAIRS // len(PROMPTS))
    drawn = timed("drawing", lambda: list(islice(generator.generate(PROMPTS, count=count), _PART_PAIRS)))
    pairs = [pair for pair in drawn if isinstance(pair, Pair)]
    timed("checking", lambda: [examine(pair) for pair in pairs])
    timed("encoding images", lambda: [encode_png(pair.image) for pair in pairs])
    timed("encoding masks", lambda: [encode_mask(pair.mask) for pair in pairs if pair.mask is not None])
    timed("encoding confidence", lambda: [encode_png(pair.confidence) for pair in pairs if pair.confidence is not None])
    timed("rows", lambda: [row_line(pair_row(pair, config, bundle)) for pair in pairs])
    writer: PairWriter = (
        DatasetWriter(folder, bundle.classes, confidence=True)
        if shards is None
        else ShardWriter(folder, bundle.classes, shards)
    )
    ready = [
        writer.prepare(f"{pair.index:06d}", pair.image, pair.mask, pair_row(pair, config, bundle), pair.confidence)
        for pair in pairs
    ]
    timed("files", lambda: [writer.write(prepared) for prepared in ready if isinstance(prepared, Prepared)])
    shutil.rmtree(folder)
    return found


@click.command()
@click.option("--pairs", type=click.IntRange(min=1), default=10_000, show_default=True)
@click.option("--batch", type=click.IntRange(min=1), default=4, show_default=True, help="Pairs drawn at a time.")
@click.option("--shards", type=click.IntRange(min=1), metavar="PAIRS", help="Tar files of so many pairs each.")
@click.option("--folder", type=click.Path(path_type=Path), help="Folder for temporary files.  [default: the system's]")
@click.option("--out", type=click.Path(path_type=Path), help="File to append the row to, as a line of JSON.")
def main(pairs: int, batch: int, shards: int | None, folder: Path | None, out: Path | None) -> None:
    """Run, print, and keep the row."""
    scratch = Path(tempfile.mkdtemp(prefix="wetgen-writing-", dir=folder))
    try:
        row = measure(scratch / "out", pairs, batch, shards)
    finally:
        shutil.rmtree(scratch)
    for name, value in row.items():
        click.echo(f"{name:18} {json.dumps(value)}")
    if out is not None:
        with out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
