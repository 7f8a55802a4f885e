"""The report on what synthetic pairs are worth: worth.md and worth.html."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from wetgen.benchmarks import plots
from wetgen.benchmarks.document import Block, Figure, Heading, Paragraph, Table, write
from wetgen.benchmarks.quality.evaluation import Material
from wetgen.benchmarks.quality.pairs import Pairs
from wetgen.benchmarks.quality.report.overlays import match_sheet
from wetgen.benchmarks.quality.report.words import (
    ABSENT,
    Results,
    figure_row,
    figures,
    interval,
    number,
    percent,
    points,
)

STEM = "worth"
FIGURE_HEAD = ("figure", "value", "real against real", "margin", "verdict")
FAMILIES = {
    "agreement": "Agreement: does a judge trained on real pairs find what the masks say?",
    "regions": "Masks on pictures: do damaged regions stand out from their rings as real ones do?",
    "fidelity": "Fidelity and coverage: are the pictures like real ones, and as many kinds?",
    "spread": "Spread: classes, areas, regions, places, variety",
    "memorisation": "Memorisation: are they copies of training pairs?",
    "captions": "Captions: does the judge read back what was asked for?",
}


def write_worth(results: Results, material: Material, out: Path) -> None:
    """Write out/worth.md and out/worth.html."""
    blocks = [*_verdict(results), *_downstream(results), *_figures(results, material), *_curve(results)]
    write(blocks, "What the synthetic pairs are worth", out, STEM)


def _verdict(results: Results) -> Iterator[Block]:
    rows = [
        [name, "passed" if check["passed"] else f"FAILED: {check['why']}"] for name, check in results["checks"].items()
    ]
    yield Heading("Verdict")
    yield Table(["check", "result"], rows)
    yield Paragraph(
        "No figure stands alone: distances between pictures don't see masks, the judge is fooled by copies and by a "
        "collapse onto easy pictures, and only the trial with segmenters says whether the pairs are of use."
    )


def _trials(results: Results) -> list[Results]:
    return [found for name, found in results.items() if name.startswith("downstream ")]


def _claim(trial: Results) -> str:
    """What may be said of the main arm, and nothing beyond."""
    main = _arm(trial, "real+synthetic", 1.0)
    claims = []
    for other, found in main["against"].items():
        mean = found["mean"]
        kind = "a gain" if mean["gain"] else "a loss" if mean["excludes_zero"] else "no difference that chance excludes"
        claims.append(f"{points(mean['delta'])} points {interval((mean['low'], mean['high']))} against {other}: {kind}")
    control = "loses" if trial["control"]["loses"] else "does NOT lose, so no gain here means anything"
    return (
        f"{trial['segmenter']}, {trial['seeds']} seeds, {trial['ratio']:g} synthetic pairs to a real one, mean IoU on "
        f"real test pictures: {'; '.join(claims)}. The control with shifted masks {control}."
    )


def _arm(trial: Results, name: str, share: float) -> Results:
    return next(arm for arm in trial["arms"] if arm["arm"] == name and arm["share"] == share)


def _downstream(results: Results) -> Iterator[Block]:
    for trial in _trials(results):
        yield from trial_blocks(trial)


def trial_blocks(trial: Results) -> Iterator[Block]:
    """What one kind of segmenter made of every arm."""
    yield Heading(f"Segmenters: {trial['segmenter']}")
    yield Paragraph(_claim(trial))
    if trial["absent"]:
        yield Paragraph(f"Not in both real train and test pairs, so without a score: {', '.join(trial['absent'])}.")
    classes = trial["classes"]
    yield Table(
        ["arm", "real", "beside", "mean IoU", *classes, "with background", "pixels right"],
        [_arm_row(arm, classes) for arm in trial["arms"]],
    )
    yield Paragraph(_ceiling(trial))
    yield Paragraph("Differences in points of IoU, with the 95 % interval over test scenes and seeds:")
    yield Table(
        ["arm", "real", "against", "mean", *classes],
        [row for arm in trial["arms"] for row in _difference_rows(arm, classes)],
    )
    yield Figure(
        f"low-data-{trial['segmenter']}.svg", partial(_low_data, trial), "Mean IoU on test against real pairs used"
    )


def _ceiling(trial: Results) -> str:
    """What pairs as good as photographs could add to a share of the real ones."""
    whole = _arm(trial, "real", 1.0)["test"]["mean_iou"]["mean"]
    shares = sorted({arm["share"] for arm in trial["arms"]} - {0, 1})
    room = [
        f"{points(whole - _arm(trial, 'real', share)['test']['mean_iou']['mean'])} at {percent(share)}"
        for share in shares
    ]
    return (
        f"Ceiling: from a share of the real pairs to all of them, mean IoU changes by {', '.join(room)} (points). "
        "About that much could a perfect generator add; where it is nothing, no generator can show a gain."
    )


def _arm_row(arm: Results, classes: list[str]) -> list[str]:
    test = arm["test"]
    return [
        arm["arm"],
        f"{arm['real_pairs']:g} ({percent(arm['share'])})",
        f"{arm['extra_pairs']:g}",
        _with_deviation(test["mean_iou"]),
        *(_with_deviation(test["classes"][name]["iou"]) for name in classes),
        _with_deviation(test["mean_iou_with_background"]),
        percent(test["pixel_accuracy"]["mean"]),
    ]


def _difference_rows(arm: Results, classes: list[str]) -> Iterator[list[str]]:
    for other, found in arm["against"].items():
        cells = [f"{points(found['classes'][name]['delta'])} {_bounds(found['classes'][name])}" for name in classes]
        mean = f"{points(found['mean']['delta'])} {_bounds(found['mean'])}{' gain' if found['mean']['gain'] else ''}"
        yield [arm["arm"], percent(arm["share"]), other, mean, *cells]


def _bounds(difference: Results) -> str:
    return interval((difference["low"], difference["high"]))


def _with_deviation(score: Results) -> str:
    return ABSENT if score["mean"] is None else f"{number(score['mean'])} ± {number(score['deviation'])}"


def _low_data(trial: Results) -> bytes:
    shares = sorted({arm["share"] for arm in trial["arms"]} - {0})
    series = {}
    for name in dict.fromkeys(arm["arm"] for arm in trial["arms"] if arm["share"] == shares[0]):
        found = {arm["share"]: arm["test"]["mean_iou"] for arm in trial["arms"] if arm["arm"] == name}
        means = [found[share]["mean"] if share in found else None for share in shares]
        series[name] = (means, [found[share]["deviation"] if share in found else None for share in shares])
    return plots.error_lines([100 * share for share in shares], series, "real pairs used, %", "mean IoU")


def _figures(results: Results, material: Material) -> Iterator[Block]:
    yield Heading("Figures beside their floors")
    yield Paragraph(
        "Each figure stands beside the same figure for real pairs against other real pairs at the same number. It is "
        "called worse only beyond that floor by the margin, four deviations between halves of the real pairs."
    )
    for name, title in FAMILIES.items():
        rows = [figure_row(path, figure) for path, figure in figures(results[name])]
        yield Heading(title, 3)
        yield Table(FIGURE_HEAD, rows)
        if name == "memorisation":
            yield from closest_sheets(results[name], material.synthetic, material.train)
        if name == "captions":
            yield from _one_word(results[name]["one_word"])


def closest_sheets(found: Results, synthetic: Pairs, train: Pairs) -> Iterator[Block]:
    """For each view of the memorisation figures, the closest pairs side by side."""
    for view, figure in found.items():
        if isinstance(figure, Mapping) and figure.get("closest"):
            name = f"closest-{view.replace(' ', '-')}.png"
            sheet = partial(match_sheet, synthetic, train, figure["closest"])
            yield Figure(name, sheet, f"The closest synthetic and training pairs by {view}")


def _one_word(found: Results) -> Iterator[Block]:
    if "not_measured" in found:
        yield Paragraph(f"One word swapped: not measured, {found['not_measured']}.")
        return
    changes = ", ".join(
        f"{name.replace('_', ' ')} {number(found[name])}" for name in ("inside", "outside", "other_picture")
    )
    yield Paragraph(
        f"One word of the prompt swapped, same noise, {found['twins']} twins: the mask follows in "
        f"{percent(found['mask_follows'])}, the judge's reading in {percent(found['reading_follows'])}. Mean absolute "
        f"change of the picture, of 1: {changes}."
    )


def _curve(results: Results) -> Iterator[Block]:
    if "curve" not in results:
        return
    found = results["curve"]
    listed = found["points"]
    yield Heading("IoU against keep rate")
    yield Table(
        ["kept", "threshold of agreement", "mean IoU on validation"],
        [
            [percent(p["keep_rate"]), number(p["threshold"]), f"{number(p['mean_iou'])} ± {number(p['deviation'])}"]
            for p in listed
        ],
    )
    series = {"real+synthetic": ([p["mean_iou"] for p in listed], [p["deviation"] for p in listed])}
    rates = [100 * p["keep_rate"] for p in listed]
    yield Figure(
        "curve.svg",
        partial(plots.error_lines, rates, series, "pairs kept, %", "mean IoU on validation"),
        "What a filter buys",
    )
    chosen = (
        f"--keep-agreement {found['suggested']:.2f}" if found["suggested"] else "no filter: none beats the deviation"
    )
    yield Paragraph(f"Every point trains on {found['pairs_at_each_point']} synthetic pairs. Suggested: {chosen}.")
