"""The dataset card: README.md with the Hub's YAML header, made from what the dataset's own files state."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wetgen.runtime.bundle.bundle import SHIPPED, Bundle
from wetgen.runtime.dataset.formats.base import SPLITS
from wetgen.runtime.dataset.metadata import Row
from wetgen.runtime.dataset.reader import Dataset
from wetgen.runtime.dataset.stats import Stats, damage_bins, stats_of
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import atomic_write, os_errors
from wetgen.runtime.masks.classes import IGNORE, ClassTable
from wetgen.runtime.run.record import FILE_NAME as RUN_NAME
from wetgen.runtime.run.record import read_record

MARK = "<!-- written by `wetgen card` -->"
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_FEW = 20  # pairs that show a class; if fewer do, the card says so


@dataclass(frozen=True)
class _Facts:
    """What a card is made of."""

    classes: ClassTable
    rows: list[Row]
    stats: Stats
    run: Mapping[str, Any] | None  # run.json, if there is one

    @property
    def synthetic(self) -> list[Row]:
        """The rows of pairs that a bundle drew."""
        return [row for row in self.rows if row.extra.get("synthetic") is True]

    @property
    def splits(self) -> list[str]:
        return [name for name in SPLITS if self.stats.splits[name]]


def write_card(
    dataset: Path, path: Path, *, bundle: Path | None, name: str | None, license: str, ignore: bool = False
) -> None:
    """Write the card of a dataset folder to `path`. Raises WetgenError for a faulty dataset or another's README.

    `bundle` is opened to state what it was trained on; None means the one that ships, if it drew the pairs.
    """
    with os_errors(path, "read"):
        if path.exists() and MARK not in path.read_text(encoding="utf-8", errors="replace"):
            raise WetgenError(
                f"{path} was not written by `wetgen card`.",
                why="a card never replaces text that somebody wrote.",
                fix="move it away, or choose another file with --out.",
            )
    datasets = Dataset.open_many(dataset)
    facts = _Facts(
        datasets[0].classes,
        [row for part in datasets for row in part.rows],
        stats_of(datasets, ignore=ignore),
        read_record(dataset) if (dataset / RUN_NAME).exists() else None,
    )
    title = dataset.resolve().name if name is None else name
    files = data_files(path.absolute().parent, several=len(datasets) > 1)
    parts = [
        _header(facts, title, license, files),
        f"# {title}",
        MARK,
        *_sections(facts, _drawn_by(facts.rows, bundle)),
    ]
    atomic_write(path, ("\n\n".join(parts) + "\n").encode())


def data_files(folder: Path, *, several: bool) -> list[tuple[str, list[str]]]:
    """File patterns of each split, relative to the card's folder: of shards if there are any, else of images."""
    for pattern in ("data/{}-*.parquet", "{}-*.tar"):
        found = [(split, [pattern.format(split)]) for split in SPLITS if any(folder.glob(pattern.format(split)))]
        if found:
            return found
    # Hugging Face's imagefolder cannot split by a key of metadata.jsonl: all rows are one split, `split` is a column.
    return [("train", ["*/images/**", "*/metadata.jsonl"] if several else ["images/**", "metadata.jsonl"])]


def _header(facts: _Facts, title: str, license: str, files: list[tuple[str, list[str]]]) -> str:
    """The YAML header; a JSON string is a YAML string."""
    count = len(facts.rows)
    size = next((words for end, words in _SIZES if count < end), "n>1M")
    tags = {"image-segmentation", "building-damage", "water-damage", "wetgen"}
    tags |= {"synthetic"} if facts.synthetic else set()
    lines = ["---", f"pretty_name: {json.dumps(title, ensure_ascii=False)}", f"license: {json.dumps(license)}"]
    lines += ["license_name: as-listed-below"] if license == "other" else []
    lines += ["task_categories:", "- image-segmentation", "- text-to-image", "task_ids:", "- semantic-segmentation"]
    lines += ["tags:", *(f"- {tag}" for tag in sorted(tags)), "size_categories:", f"- {size}"]
    lines += ["configs:", "- config_name: default", "  data_files:"]
    for split, patterns in files:
        lines += [f"  - split: {split}", "    path:", *(f"    - {json.dumps(pattern)}" for pattern in patterns)]
    return "\n".join([*lines, "---"])


def _drawn_by(rows: list[Row], folder: Path | None) -> Bundle | None:
    """The bundle that drew the dataset's pairs, if it is at hand."""
    drawn = {row.extra["bundle_sha256"] for row in rows if "bundle_sha256" in row.extra}
    if folder is None and (not drawn or not SHIPPED.is_dir()):
        return None
    bundle = Bundle.open(SHIPPED if folder is None else folder)
    if drawn == {bundle.hash}:
        return bundle
    if folder is None:
        return None
    stated = ", ".join(sorted(map(str, drawn))) if drawn else "no bundle"
    raise WetgenError(
        f"{folder} did not draw this dataset.",
        why=f"its hash is {bundle.hash}; the rows state {stated}.",
        fix="give the bundle that did, or leave --bundle out.",
    )


def _sections(facts: _Facts, bundle: Bundle | None) -> Iterator[str]:
    yield _summary(facts)
    yield from ("## Classes", _class_table(facts))
    yield "## Damaged share of a picture"
    yield f"In pictures, {facts.stats.pairs:,} in all:\n\n```\n{damage_chart(facts.stats.damage)}\n```"
    yield from ("## How it was made", _making(facts))
    yield from ("## Sources and licences", _origins(facts.rows))
    if bundle is not None:
        yield from ("The bundle that drew the pictures was trained on:", _trained_on(bundle.info.get("trained_on")))
    yield from ("## Limits", "\n".join(f"- {limit}" for limit in _limits(facts)))


def _summary(facts: _Facts) -> str:
    stats = facts.stats
    splits = ", ".join(f"{stats.splits[split]:,} {split}" for split in facts.splits)
    commonest = sorted(stats.sizes.items(), key=lambda size: (-size[1], size[0]))[:4]
    sizes = ", ".join(f"{width} x {height} ({count:,})" for (width, height), count in commonest)
    more = f", and {len(stats.sizes) - 4} other sizes" if len(stats.sizes) > 4 else ""
    scenes = len({row.scene for row in facts.rows})
    return (
        f"{stats.pairs:,} pairs of a picture and its mask, with captions ({splits}), of {scenes:,} scenes. "
        f"Sizes (width x height): {sizes}{more}.\n\n"
        "A mask is a PNG of one 8-bit channel whose values are the class ids below. Columns: image or `file_name`, "
        "mask or `mask_file_name`, `text` (the caption), `scene` (pictures of one scene belong in one split)."
    )


def _class_table(facts: _Facts) -> str:
    splits, showing, pixels = facts.splits, facts.stats.showing, facts.stats.pixels
    shares = [f"{100 * int(count) / max(int(pixels.sum()), 1):.3f} %" for count in pixels]
    rows = [
        [str(id), name, *(f"{showing[split][id]:,}" for split in splits), shares[id]]
        for id, name in enumerate(facts.classes.names)
    ]
    if pixels[IGNORE]:
        rows.append([str(IGNORE), "(ignore)", *("" for _ in splits), shares[IGNORE]])
    return _table(["id", "class", *(f"pairs, {split}" for split in splits), "pixels"], rows)


def damage_chart(damage: list[float]) -> str:
    """A bar per range of damaged share, its length by the number of pictures."""
    lines = [f"{name:<11} {count:>7,}  {'█' * length}" for name, count, length in damage_bins(damage)]
    return "\n".join(line.rstrip() for line in lines)


def _making(facts: _Facts) -> str:
    if not facts.synthetic:
        return "No row says that its picture is synthetic."
    return (
        _table(["", ""], _made_of(facts)) + "\n\nEach row of metadata.jsonl holds what it takes to make its pair again."
    )


def _made_of(facts: _Facts) -> Iterator[list[str]]:
    """What the rows of drawn pairs and run.json state; of each key the most common values."""
    drawn = [row.extra for row in facts.synthetic]
    yield ["synthetic pairs", f"{len(drawn):,} of {len(facts.rows):,}"]
    words = {"bundle_sha256": "bundle (sha256)", "plan": "sampling plan", "negative": "negative prompt"}
    for key in ("bundle_sha256", "plan", "guidance", "negative", "seed"):
        values = Counter(json.dumps(row[key], ensure_ascii=False) for row in drawn if key in row and row[key] != "")
        listed = ", ".join(value.strip('"') for value, _ in values.most_common(4))
        if values:
            yield [words.get(key, key), listed + (f", and {len(values) - 4} more" if len(values) > 4 else "")]
    if facts.run is not None:
        counts, settings, versions = facts.run.get("counts", {}), facts.run["settings"], facts.run["versions"]
        yield ["prompts (sha256)", f"{settings['prompts']} ({settings['prompts_sha256']})"]
        yield ["drawn, kept", f"{counts.get('drawn', 'unknown')}, {counts.get('written', 'unknown')}"]
        limits = [f"{key} {value}" for key, value in settings["filter"].items() if value not in (None, False)]
        yield ["filter", ", ".join(limits) or "none"]
        yield ["made by", f"wetgen {versions.get('wetgen', 'unknown')}, {facts.run.get('finished', 'unfinished')}"]


def _origins(rows: list[Row]) -> str:
    origins: Counter[tuple[str, str]] = Counter()
    for row in rows:
        unstated = "drawn by wetgen" if row.extra.get("synthetic") is True else "not stated"
        origins[str(row.extra.get("source", unstated)), str(row.extra.get("license", "not stated"))] += 1
    lines = [[source, license, f"{count:,}"] for (source, license), count in sorted(origins.items())]
    return _table(["source", "licence, as the rows state it", "pairs"], lines)


def _trained_on(sources: object) -> str:
    listed = [entry for entry in sources if isinstance(entry, dict)] if isinstance(sources, list) else []
    rows = [[str(entry.get(key, "not stated")) for key in ("source", "license", "pairs")] for entry in listed]
    return _table(["source", "licence", "pairs"], rows) if rows else "The bundle does not state it."


def _limits(facts: _Facts) -> Iterator[str]:
    """What a reader should not conclude from the dataset, as far as its files show it."""
    rows, names, images = facts.rows, facts.classes.names, facts.stats.images
    if facts.synthetic:
        yield (
            f"{len(facts.synthetic):,} pictures and their masks were drawn by a network. Nobody saw that damage: they "
            "train segmentation, and are no evidence of any building's condition."
        )
    faulty = sum(bool(row.extra.get("faults")) for row in rows)
    if faulty:
        yield f"{faulty:,} pairs lack a class that their prompt asks for (`faults` in their rows)."
    absent = [names[id] for id in range(1, len(names)) if not images[id]]
    few = [f"{names[id]} ({images[id]})" for id in range(1, len(names)) if 0 < images[id] < _FEW]
    if absent:
        yield f"No pair shows {', '.join(absent)}."
    if few:
        yield f"Fewer than {_FEW} pairs show {', '.join(few)}."
    unlicensed = sum("license" not in row.extra for row in rows)
    if unlicensed:
        yield f"{unlicensed:,} rows state no licence."
    if not any("split" in row.extra for row in rows):
        yield "The rows state no split. `wetgen convert --split` makes one that keeps scenes whole."
    yield "The damaged share counts pixels of a picture. It is no measure of length, area or severity in a building."


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [[" ".join(text.split()).replace("|", "\\|").replace("<", "&lt;") for text in row] for row in (head, *rows)]
    lines.insert(1, ["---"] * len(head))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
