"""The report on the segmentation task: data, method, curves, metrics per class, worst and best cases."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from wetgen.benchmarks import plots
from wetgen.benchmarks.document import Block, Figure, Heading, Paragraph, Table, write
from wetgen.benchmarks.quality.evaluation import Material
from wetgen.benchmarks.quality.pairs import Pairs
from wetgen.benchmarks.quality.report.overlays import case_sheet
from wetgen.benchmarks.quality.report.words import Results, number
from wetgen.runtime.dataset.stats import BINS

STEM = "segmentation"
SETS = ("train", "validation", "test", "synthetic")
SHOWN = ("real", "real+synthetic")
METHODS = {
    "ridge": "Fixed random multi-scale filters and a closed-form, class-balanced linear readout per pixel; nothing is "
    "drawn at random but the filters, so the same pairs give the same segmenter. Its seeds are sets of filters.",
    "unet": "A U-Net trained from scratch; its seeds are initial weights and the order of the pairs.",
    "segformer": "A SegFormer trained from scratch; its seeds are initial weights and the order of the pairs.",
}


def write_task(results: Results, material: Material, out: Path) -> None:
    """Write out/segmentation.md and out/segmentation.html."""
    blocks = [*_data(material), *_trials(results), *_cases(results, material)]
    write(blocks, "Segmentation of wet damage", out, STEM)


def _data(material: Material) -> Iterator[Block]:
    parts = {name: getattr(material, name) for name in SETS}
    names = material.train.table.names
    shown = [id for id in range(1, len(names)) if any(id in pairs.classes for pairs in parts.values())]
    counts = {name: [int((pairs.masks == id).any((1, 2)).sum()) for id in shown] for name, pairs in parts.items()}
    size = material.train.size
    yield Heading("Data")
    yield Paragraph(
        f"Pictures of {size} x {size} pixels. Real pairs are split by scene and claim; {material.dropped} "
        "near-duplicates across the parts were left out."
    )
    yield Table(
        ["", *SETS],
        [
            ["pairs", *(str(len(pairs)) for pairs in parts.values())],
            ["scenes", *(str(len(set(pairs.groups))) for pairs in parts.values())],
            ["without damage", *(str(int((~pairs.masks.any((1, 2))).sum())) for pairs in parts.values())],
            *([f"with {names[id]}", *(str(counts[name][k]) for name in parts)] for k, id in enumerate(shown)),
            *(
                [f"pixels of {names[id]}", *(f"{100 * (pairs.masks == id).mean():.2f} %" for pairs in parts.values())]
                for id in shown
            ),
        ],
    )
    shares = {name: [count / len(parts[name]) for count in counts[name]] for name in parts}
    labels = [names[id] for id in shown]
    yield Figure("classes.svg", partial(plots.bars, labels, shares, "share of pairs"), "Pairs that show each class")
    areas = {name: _areas(pairs) for name, pairs in parts.items()}
    edges = [f"to {100 * edge:g} %" for edge in BINS]
    yield Figure(
        "areas.svg", partial(plots.bars, edges, areas, "share of damaged pairs"), "How much of a picture is damaged"
    )


def _areas(pairs: Pairs) -> list[float]:
    """The share of damaged pairs whose damage covers each of the bins of a dataset's statistics."""
    covered = (pairs.masks > 0).mean((1, 2))
    counts = np.histogram(covered[covered > 0], bins=(0, *BINS))[0]
    return [float(share) for share in counts / max(1, counts.sum())]


def _trials(results: Results) -> Iterator[Block]:
    for trial in (found for name, found in results.items() if name.startswith("downstream ")):
        yield Heading(f"Method: {trial['segmenter']}")
        yield Paragraph(METHODS[trial["segmenter"]])
        yield Paragraph(
            "Every arm sees the real pairs at the same weight; synthetic pairs come beside them, at most "
            f"{trial['ratio']:g} to a real one. Scores are of one confusion matrix over all pictures of a part, the "
            f"mean over {trial['seeds']} seeds with its deviation; boundary F1 allows 2 pixels."
        )
        for part in ("validation", "test"):
            yield Heading(f"Scores on real {part} pictures", 3)
            yield Table(
                ["class", "segmenter", "IoU", "Dice", "boundary F1"],
                [row for arm in trial["arms"] if arm["share"] == 1 and arm["arm"] in SHOWN for row in _rows(arm, part)],
            )
        yield Figure(f"classes-{trial['segmenter']}.svg", partial(_class_bars, trial), "IoU on test pictures per class")
        if trial.get("losses"):
            steps = trial["losses"]["steps"]
            series = {name: (values, [0.0] * len(values)) for name, values in trial["losses"]["arms"].items()}
            yield Figure(
                f"losses-{trial['segmenter']}.svg",
                partial(plots.error_lines, steps, series, "step", "loss"),
                "Training loss",
            )


def _rows(arm: Results, part: str) -> Iterator[list[str]]:
    for name, found in arm[part]["classes"].items():
        cells = [
            f"{number(found[s]['mean'])} ± {number(found[s]['deviation'])}" for s in ("iou", "dice", "boundary_f1")
        ]
        yield [name, arm["arm"], *cells]


def _class_bars(trial: Results) -> bytes:
    chosen = [arm for arm in trial["arms"] if arm["share"] == 1 and arm["arm"] in SHOWN]
    series = {arm["arm"]: [arm["test"]["classes"][name]["iou"]["mean"] for name in trial["classes"]] for arm in chosen}
    return plots.bars(trial["classes"], series, "IoU")


def _cases(results: Results, material: Material) -> Iterator[Block]:
    yield Heading("Worst and best test pictures")
    yield Paragraph("Each picture beside its true mask, then beside the predicted one.")
    for arm, found in results["cases"].items():
        for kind in ("worst", "best"):
            sheet = partial(case_sheet, material.test, found[kind])
            yield Figure(f"{kind}-{arm.replace('+', '-')}.png", sheet, f"The {kind} of the segmenter trained on {arm}")
