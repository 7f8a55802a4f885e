"""What int8 costs and gains on this CPU: graphs of a bundle quantized, timed beside float32, and held to the gate.

python -m wetgen.benchmarks.int8 [--bundle BUNDLE] [--out benchmarks/results/int8-cpu.jsonl]

Static quantization as ONNX Runtime's documentation advises it for processors with VNNI: QDQ, one scale per channel of
the weights (signed, symmetric), activations unsigned, ranges from whole float32 trajectories. Pictures of every
candidate are compared with those of the float32 graphs from the same noise, by the limits of `wetgen-export`.
"""

import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from wetgen.benchmarks.speed import machine, rows
from wetgen.benchmarks.speed.turns import psnr, take_turns
from wetgen.export.verify import LEAST_AGREEMENT, LEAST_PSNR
from wetgen.runtime.bundle.bundle import Bundle, open_bundle
from wetgen.runtime.bundle.graphs import Array, denoise_name, denoises
from wetgen.runtime.bundle.schedule import StepKind
from wetgen.runtime.bundle.tokenizer import PromptTokenizer
from wetgen.runtime.engines import Engine, open_engine
from wetgen.runtime.engines.ort import session_options
from wetgen.runtime.noise import starting_noise
from wetgen.runtime.sampling.host import sample

CALIBRATED, JUDGED = (0, 1, 2), (3, 4)  # pairs that give the ranges, and others that are compared
RUNS = 15  # of each candidate, taking turns
EVERY = ("Conv", "ConvTranspose", "Gemm", "MatMul")
ENDS = (2, 6)  # convolutions at either end of a graph, whose errors are seen most, that a candidate leaves in float32


@dataclass(frozen=True)
class Candidate:
    """Which operators of a graph compute in int8; `ends` says how many convolutions at either end do not."""

    graph: str
    operators: tuple[str, ...]
    ends: int = 0

    def __str__(self) -> str:
        spared = f", but {self.ends} convolutions at either end" if self.ends else ""
        return f"{self.graph}: {', '.join(self.operators)}{spared}"


CANDIDATES = tuple(
    Candidate(graph, operators, ends)
    for graph in ("denoise", "decode")
    for operators, ends in ((EVERY, 0), *((("Conv",), ends) for ends in (0, *ENDS)))
)


@dataclass
class Recorded:
    """An engine that keeps what it was fed."""

    engine: Engine
    feeds: list[dict[str, Array]] = field(default_factory=list)

    def run(self, feed: Mapping[str, Array]) -> dict[str, Array]:
        self.feeds.append(dict(feed))
        return self.engine.run(feed)


class Feeds(CalibrationDataReader):  # type: ignore[misc]
    """Recorded feeds, one after the other."""

    def __init__(self, feeds: Sequence[dict[str, Array]]) -> None:
        self._left: Iterator[dict[str, Array]] = iter(feeds)

    def get_next(self) -> dict[str, Array] | None:
        return next(self._left, None)


@click.command()
@click.option("--bundle", type=click.Path(exists=True, path_type=Path), help="[default: the one that ships]")
@click.option("--out", type=click.Path(path_type=Path), default=Path("benchmarks/results/int8-cpu.jsonl"))
def main(bundle: Path | None, out: Path) -> None:
    """Quantize the denoiser and the decoder, and add a row for each candidate to OUT."""
    opened = open_bundle(bundle)
    engines: dict[str, Recorded] = {name: Recorded(_open(opened, name)) for name in _of_interest(opened)}
    for pair in CALIBRATED:
        draw(opened, engines, pair)
    seen = {name: engine.feeds for name, engine in engines.items()}
    wanted = [draw(opened, engines, pair) for pair in JUDGED]
    for candidate in CANDIDATES:
        with tempfile.TemporaryDirectory() as folder:
            observed = _observed(opened, engines, candidate, seen[candidate.graph], wanted, Path(folder))
        rows.append(out, _row(opened, candidate, observed))
        times = {name: float(np.median(observed[name])) for name in ("float32_ms", "int8_ms")}
        faster, verdict = times["float32_ms"] / times["int8_ms"], "passes" if passes(observed) else "fails"
        click.echo(f"{candidate}: {faster:.2f}x, {min(observed['psnr_db'])} dB, {verdict}")


def _of_interest(bundle: Bundle) -> list[str]:
    return [name for name in bundle.graphs if denoises(name) or name == "decode"]


def _open(bundle: Bundle, name: str, path: Path | None = None) -> Engine:
    file = bundle.targets["cpu"].files[name] if path is None else path
    return open_engine(bundle.graphs[name], file, device="cpu", batch=1, threads=1)


def draw(bundle: Bundle, engines: Mapping[str, Engine], pair: int) -> dict[str, Array]:
    """Pair `pair` of the bundle's own prompts with its default plan and guidance."""
    tokenizer = PromptTokenizer(bundle.tokenizer_file, bundle.sizes.tokens)
    prompts = list(bundle.info["prompts"])
    text = _open(bundle, "text")
    ids = tokenizer.encode(["", prompts[pair % len(prompts)]], truncate=True)
    embedding = np.concatenate([text.run({"token_ids": row[None]})["embedding"] for row in ids])
    plan = bundle.plan(bundle.info["default_plan"])
    kinds: dict[StepKind, Engine] = {kind: engines[denoise_name(kind)] for kind in bundle.kinds}
    declared = bundle.graphs[next(filter(denoises, bundle.graphs))].inputs
    free = {t.name: np.zeros(t.sizes(1), np.float32) for t in declared if t.name == "conditioning"}
    noise = starting_noise(0, pair, bundle.sizes.latent)[None]
    *_, latent = sample(kinds, plan, noise, embedding, bundle.default_guidance, free)
    return engines["decode"].run({"latent": latent})


def quantized(bundle: Bundle, candidate: Candidate, feeds: Sequence[dict[str, Array]], folder: Path) -> Path:
    """The file of a candidate in `folder`, with ranges from `feeds`."""
    whole, folded, path = (folder / f"{stage}.onnx" for stage in ("whole", "folded", "int8"))
    onnx.save(
        onnx.load(str(bundle.targets["cpu"].files[candidate.graph])), str(whole)
    )  # with the weights that stand beside it
    options = session_options(onnxruntime, 1, 1)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC  # folds casts of weights
    options.optimized_model_filepath = str(folded)
    onnxruntime.InferenceSession(str(whole), options, providers=["CPUExecutionProvider"])
    convolutions = [node.name for node in onnx.load(str(folded)).graph.node if node.op_type == "Conv"]
    quantize_static(
        folded,
        path,
        Feeds(feeds),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=list(candidate.operators),
        nodes_to_exclude=[*convolutions[: candidate.ends], *convolutions[len(convolutions) - candidate.ends :]],
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    return path


def _observed(
    bundle: Bundle,
    engines: Mapping[str, Recorded],
    candidate: Candidate,
    feeds: Sequence[dict[str, Array]],
    wanted: Sequence[Mapping[str, Array]],
    folder: Path,
) -> dict[str, Any]:
    """Times of one call, and the pictures of the candidate beside those of float32."""
    name = candidate.graph
    small = _open(bundle, name, quantized(bundle, candidate, feeds, folder))
    found = [draw(bundle, {**engines, name: small}, pair) for pair in JUDGED]
    float32, feed = engines[name].engine, feeds[len(feeds) // 2]
    times = take_turns({"float32_ms": lambda: float32.run(feed), "int8_ms": lambda: small.run(feed)}, runs=RUNS)
    pairs = list(zip(found, wanted, strict=True))
    return {
        **times,
        "psnr_db": [round(psnr(_bytes(a["image"]), _bytes(b["image"])), 2) for a, b in pairs],
        "mask_agreement": [round(float((a["mask"] == b["mask"]).mean()), 5) for a, b in pairs if "mask" in a],
    }


def _bytes(array: Array) -> NDArray[np.uint8]:
    return array.astype(np.uint8, copy=False)


def passes(observed: Mapping[str, Any]) -> bool:
    """Whether every picture is within the limits that float16 graphs are held to."""
    return min(observed["psnr_db"]) >= LEAST_PSNR and min(observed["mask_agreement"], default=1.0) >= LEAST_AGREEMENT


def _row(bundle: Bundle, candidate: Candidate, observed: Mapping[str, Any]) -> dict[str, Any]:
    case = {"kind": "int8", **asdict(candidate), "batch": 1, "threads": 1}
    about = {"bundle": bundle.info["name"], "machine": machine.machine(), "versions": machine.versions()}
    return {
        "format": rows.FORMAT,
        "key": rows.key_of(case=case, **about),
        "case": case,
        **about,
        "commit": machine.commit(),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "status": rows.DONE,
        "observed": {**observed, "passes": passes(observed)},
    }


if __name__ == "__main__":
    logging.getLogger().setLevel(logging.ERROR)  # the quantizer advises what is done here already
    main()
