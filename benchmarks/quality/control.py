"""How well pairs obey: negative prompts, layouts and severities, measured on a bundle.

    python -m wetgen.benchmarks.quality.control --pairs 24 --out control.json

Every comparison is between pairs of the same noise. Intervals are of 2,000 bootstrap samples over pairs.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.layouts.layout import random_layout
from wetgen.runtime.prompts.text import with_severity
from wetgen.runtime.run.tasks import layout_agreement
from wetgen.runtime.sampling.generator import Generator

NEGATIVES = {  # a prompt that names two damages, and the one that is then kept away
    "a water stain and black mold on a white wall": "mold",
    "black mold and peeling paint on a beige wall": "peeling",
    "a brown stain and white efflorescence on a concrete wall": "efflorescence",
    "a crack and a brown water stain on a grey concrete wall": "stain",
}
PROMPTS = {
    "crack": "a crack in a grey concrete wall",
    "stain": "a brown water stain on a white plaster ceiling",
    "mold": "dark mold on a beige wall",
    "peeling": "peeling paint on a white wall",
    "puddle": "a puddle of water on a wooden floor",
    "lifted": "lifted tiles on a grey tile floor",
    "spalling": "spalling on a grey concrete wall",
    "efflorescence": "white efflorescence on a red brick wall",
    "corrosion": "rust runs on a tile wall",
}
STEPS = (0.0, 0.25, 0.5, 0.75, 1.0)
_SEVERITY = 0.6  # of the layouts whose agreement is measured

Mask = NDArray[np.uint8]


def negatives(generator: Generator, pairs: int, seed: int) -> dict[str, object]:
    """By prompt: the mean share of the picture that the unwanted and the other class cover, without and with the
    negative prompt, and the interval of the unwanted one's paired difference."""
    found = {}
    for prompt, name in NEGATIVES.items():
        word = generator.bundle.words[name][0]
        masks = {negative: _masks(generator, [prompt], pairs, seed, negative=negative) for negative in ("", word)}
        id = _id(generator.bundle, name)
        without, with_ = (np.array([(mask == id).mean() for mask in masks[key]]) for key in ("", word))
        others = [float(np.mean([((mask > 0) & (mask != id)).mean() for mask in masks[key]])) for key in ("", word)]
        found[prompt] = {
            "negative": word,
            "unwanted": [round(float(without.mean()), 4), round(float(with_.mean()), 4)],
            "other damage": [round(value, 4) for value in others],
            "difference": _interval(with_ - without, seed),
        }
    return found


def layouts(generator: Generator, pairs: int, seed: int) -> dict[str, object]:
    """By class: the mean share of pixels on which mask and layout agree, and the mean IoU of the class."""
    found = {}
    for name, prompt in PROMPTS.items():
        drawn = [_layout(generator.bundle, name, seed, i, _SEVERITY) for i in range(pairs)]
        masks = _masks(generator, [prompt] * pairs, 1, seed, layouts=drawn)
        agreed = [layout_agreement(mask, layout) for mask, layout in zip(masks, drawn, strict=True)]
        found[name] = {key: round(float(np.mean([value[key] for value in agreed])), 4) for key in agreed[0]}
    return found


def severities(generator: Generator, pairs: int, seed: int) -> dict[str, object]:
    """By class: the mean share of the picture that it covers at each severity, and how many pairs grow at each step."""
    found = {}
    for name, prompt in PROMPTS.items():
        id, areas = _id(generator.bundle, name), []
        for step in STEPS:
            drawn = [_layout(generator.bundle, name, seed, i, step) for i in range(pairs)]
            worded = with_severity(prompt, step, generator.bundle.words)
            areas.append([(mask == id).mean() for mask in _masks(generator, [worded] * pairs, 1, seed, layouts=drawn)])
        table = np.array(areas)  # (steps, pairs)
        grows = [round(float((after > before).mean()), 3) for before, after in pairwise(table)]
        found[name] = {"area": [round(float(value), 4) for value in table.mean(1)], "pairs that grow": grows}
    return found


MEASURES: Mapping[str, Callable[[Generator, int, int], dict[str, object]]] = {
    "negatives": negatives,
    "layouts": layouts,
    "severities": severities,
}


def _masks(generator: Generator, prompts: Sequence[str], count: int, seed: int, **how: Any) -> list[Mask]:
    pairs = generator.generate(prompts, seed=seed, count=count, **how)
    return [pair.mask for pair in pairs if pair.mask is not None]


def _layout(bundle: Bundle, name: str, seed: int, i: int, severity: float) -> Mask:
    assert bundle.classes is not None
    size = bundle.sizes.height, bundle.sizes.width
    return random_layout(seed, i, size, [name], bundle.mask_statistics, bundle.classes, severity)


def _id(bundle: Bundle, name: str) -> int:
    assert bundle.classes is not None
    return bundle.classes.names.index(name)


def _interval(values: NDArray[np.float64], seed: int) -> list[float]:
    """The mean, and the 95 % interval of it."""
    rng = np.random.default_rng(seed)
    means = values[rng.integers(len(values), size=(2000, len(values)))].mean(1)
    return [round(float(value), 4) for value in (values.mean(), *np.quantile(means, (0.025, 0.975)))]


@click.command()
@click.option("--bundle", type=click.Path(path_type=Path), help="Bundle to measure.  [default: the one that ships]")
@click.option("--pairs", type=click.IntRange(min=2), default=24, show_default=True, help="Pairs of each comparison.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--only", type=click.Choice(list(MEASURES)), multiple=True, help="Some of the measures; may be repeated.")
@click.option("--out", type=click.Path(path_type=Path), help="File to write the figures to, as JSON.")
def main(bundle: Path | None, pairs: int, seed: int, only: tuple[str, ...], out: Path | None) -> None:
    """Measure how well the pairs of a bundle obey."""
    with Generator.open(bundle) as generator:
        found = {name: MEASURES[name](generator, pairs, seed) for name in (only or MEASURES)}
    figures = {"bundle": generator.bundle.hash, "pairs": pairs, "seed": seed, **found}
    text = json.dumps(figures, indent=1)
    if out is not None:
        out.write_text(text + "\n", encoding="utf-8")
    click.echo(text)


if __name__ == "__main__":
    main()
