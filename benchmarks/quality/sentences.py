"""Whether pairs show what people's sentences ask for; no caption of the training data is like one of the sentences.

    python -m wetgen.benchmarks.quality.sentences BUNDLE --pairs 2 --plan best --out sentences.json

A pair is as asked when its mask shows every class that its sentence wants and none that it does not want. No pair is
drawn again. Intervals are Wilson's at 95 % (1927) with as many observations as there are sentences: pairs of one
sentence are not independent.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.masks.classes import ClassTable
from wetgen.runtime.sampling.generator import Generator

GROUPS = {
    "plain words": 20,
    "synonyms": 30,
    "terse notes": 20,
    "full sentences": 20,
    "typos": 10,
    "two or three damages": 30,
    "clean rooms": 15,
    "negation": 15,
}
# Words for damage that captions leave to the synonyms: whether a generator knows more words than it was taught.
HELD_OUT = frozenset(
    {"blotch", "crazing", "delaminated", "oxidised", "ponding", "saltpetre", "scaling", "spores", "tenting", "unstuck"}
)
SHOWN = 0.002  # share of the picture from which on a class is shown: 99 of 100 rendered cracks cover more
Z = 1.96  # of a normal distribution's 95 %


@dataclass(frozen=True)
class Sentence:
    """A sentence, the classes a pair for it must show, those it must not, and the surface it names, if any."""

    text: str
    wanted: tuple[str, ...]
    unwanted: tuple[str, ...]
    surface: str | None
    group: str

    def obeyed(self, shown: Iterable[str]) -> bool:
        """Whether a pair that shows these classes is as asked."""
        seen = set(shown)
        return seen.issuperset(self.wanted) and seen.isdisjoint(self.unwanted)


def read_sentences() -> tuple[Sentence, ...]:
    """All of them, in the order of the file beside this one."""
    rows = map(json.loads, Path(__file__).with_suffix(".jsonl").read_text(encoding="utf-8").splitlines())
    return tuple(
        Sentence(row["text"], tuple(row["wanted"]), tuple(row["unwanted"]), row["surface"], row["group"])
        for row in rows
    )


def classes_shown(mask: NDArray[np.uint8], table: ClassTable, least: float = SHOWN) -> list[str]:
    """The damage classes that cover at least a share of a mask (H, W) of class ids."""
    return [name for id, name in enumerate(table.names) if id and (mask == id).mean() >= least]


def wilson(share: float, count: float) -> tuple[float, float]:
    """The 95 % interval of a share that was seen in `count` observations (Wilson 1927; 0 to 1 for none)."""
    if not count:
        return 0.0, 1.0
    middle = share + Z**2 / (2 * count)
    reach = Z * (share * (1 - share) / count + Z**2 / (4 * count**2)) ** 0.5
    low, high = ((middle + side * reach) / (1 + Z**2 / count) for side in (-1, 1))
    return max(0.0, low), min(1.0, high)


def scores(sentences: Sequence[Sentence], shown: Sequence[Sequence[Sequence[str]]]) -> dict[str, dict[str, Any]]:
    """Figures of each group, of all, and of the synonyms with a held-out word, from the classes of every pair.

    `as_asked` is the share of pairs as asked, with its interval; `all_wanted` those that show all they must;
    `nothing_else` those that show exactly what is wanted.
    """
    parts = {group: [i for i, s in enumerate(sentences) if s.group == group] for group in GROUPS}
    parts["words no caption uses"] = [i for i, s in enumerate(sentences) if HELD_OUT & set(s.text.split())]
    parts["all"] = list(range(len(sentences)))
    return {name: _figures([sentences[i] for i in part], [shown[i] for i in part]) for name, part in parts.items()}


def _figures(sentences: Sequence[Sentence], shown: Sequence[Sequence[Sequence[str]]]) -> dict[str, Any]:
    pairs = [(sentence, set(seen)) for sentence, drawn in zip(sentences, shown, strict=True) for seen in drawn]
    counts = {
        "as_asked": sum(sentence.obeyed(seen) for sentence, seen in pairs),
        "all_wanted": sum(seen.issuperset(sentence.wanted) for sentence, seen in pairs),
        "nothing_else": sum(seen == set(sentence.wanted) for sentence, seen in pairs),
    }
    shares = {name: count / len(pairs) if pairs else 0.0 for name, count in counts.items()}
    interval = wilson(shares["as_asked"], len(sentences))
    rounded = {name: round(share, 3) for name, share in shares.items()}
    return {
        "sentences": len(sentences),
        "pairs": len(pairs),
        **rounded,
        "interval": [round(bound, 3) for bound in interval],
    }


def table_of(figures: dict[str, dict[str, Any]]) -> str:
    """The figures as lines to read."""
    lines = [f"{'group':<24}{'pairs':>6}{'as asked':>10}{'95 %':>14}{'all wanted':>12}{'nothing else':>14}"]
    for name, row in figures.items():
        low, high = row["interval"]
        lines.append(
            f"{name:<24}{row['pairs']:>6}{row['as_asked']:>10.2f}{f'{low:.2f}-{high:.2f}':>14}"
            f"{row['all_wanted']:>12.2f}{row['nothing_else']:>14.2f}"
        )
    return "\n".join(lines)


def draw(
    generator: Generator, sentences: Sequence[Sentence], pairs: int, plan: str | None, seed: int, least: float
) -> list[list[list[str]]]:
    """The classes that each pair of each sentence shows. A sentence longer than the bundle reads is cut."""
    table = generator.bundle.classes
    assert table is not None
    shown: list[list[list[str]]] = [[] for _ in sentences]
    texts = [sentence.text for sentence in sentences]
    drawn = generator.generate(texts, seed=seed, count=pairs, plan=plan, truncate=True)
    for index, pair in enumerate(drawn):
        assert pair.mask is not None
        shown[index % len(sentences)].append(classes_shown(pair.mask, table, least))
    return shown


@click.command()
@click.argument("bundle", required=False, type=click.Path(path_type=Path))
@click.option("--pairs", type=click.IntRange(min=1), default=2, show_default=True, help="Pairs of each sentence.")
@click.option("--plan", help="Plan to draw with.  [default: the bundle's]")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--shown", type=click.FloatRange(0, 1, min_open=True), default=SHOWN, show_default=True,
    help="Share of the picture from which on a class is shown.",
)  # fmt: skip
@click.option("--threads", type=click.IntRange(min=1), help="Threads of the engine.  [default: all]")
@click.option("--out", type=click.Path(path_type=Path), help="File to write the figures to, as JSON.")
def main(
    bundle: Path | None, pairs: int, plan: str | None, seed: int, shown: float, threads: int | None, out: Path | None
) -> None:
    """Measure how often the pairs of BUNDLE, or of the one that ships, are as people's sentences ask."""
    sentences = read_sentences()
    with Generator.open(bundle, threads=threads) as generator:
        seen = draw(generator, sentences, pairs, plan, seed, shown)
    figures = scores(sentences, seen)
    click.echo(table_of(figures))
    if out is not None:
        rows = [{"text": sentence.text, "shown": drawn} for sentence, drawn in zip(sentences, seen, strict=True)]
        about = {"bundle": generator.bundle.hash, "plan": plan, "pairs": pairs, "seed": seed, "shown_from": shown}
        out.write_text(json.dumps({**about, "figures": figures, "rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
