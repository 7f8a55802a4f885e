"""A report as a list of blocks, written once and rendered twice: one HTML page with everything in it, and Markdown.

The figures of the Markdown are files in a folder next to it.
"""

import base64
import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from wetgen.runtime.files import atomic_write, os_errors

FIGURES = "figures"
_TYPES = {".svg": "image/svg+xml", ".png": "image/png"}
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto }
td { font-variant-numeric: tabular-nums }
th, td { border: 1px solid #ccc; padding: .25rem .6rem; text-align: left }
th { background: #f2f2f2 } figure { margin: 1rem 0 } img { max-width: 100%; height: auto }
figcaption { color: #555; font-size: .9em }
"""


@dataclass(frozen=True)
class Heading:
    text: str
    level: int = 2


@dataclass(frozen=True)
class Paragraph:
    text: str


@dataclass(frozen=True)
class Table:
    """Rows of cells, already in words; the first column names the row."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Figure:
    """A chart (SVG) or picture (PNG) and its caption. It is drawn when a report with it is written."""

    name: str  # a file name with its suffix
    draw: Callable[[], bytes] = field(repr=False, compare=False)
    caption: str = ""

    @cached_property
    def data(self) -> bytes:
        return self.draw()


Block = Heading | Paragraph | Table | Figure


def write(blocks: Sequence[Block], title: str, out: Path, stem: str) -> None:
    """Write out/stem.html, out/stem.md and the figures of the latter."""
    figures = [block for block in blocks if isinstance(block, Figure)]
    if figures:
        with os_errors(out / FIGURES, "created"):
            (out / FIGURES).mkdir(parents=True, exist_ok=True)
    for figure in figures:
        atomic_write(out / FIGURES / figure.name, figure.data)
    atomic_write(out / f"{stem}.md", markdown(blocks, title).encode())
    atomic_write(out / f"{stem}.html", page(blocks, title).encode())


def markdown(blocks: Sequence[Block], title: str) -> str:
    """The blocks as Markdown."""
    return "\n\n".join([f"# {title}", *(as_markdown(block, FIGURES) for block in blocks)]) + "\n"


def page(blocks: Sequence[Block], title: str) -> str:
    """The blocks as one HTML page that needs no other file."""
    body = "\n".join(map(_html, blocks))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>\n'
        f"<body><h1>{html.escape(title)}</h1>\n{body}\n</body></html>\n"
    )


def as_markdown(block: Block, figures: str) -> str:
    """One block as Markdown; `figures` is the folder of its figures, relative to the text."""
    match block:
        case Heading(text, level):
            return f"{'#' * level} {text}"
        case Paragraph(text):
            return text
        case Table(head, rows):
            lines = [head, ["---"] * len(head), *rows]
            return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
        case Figure(name, _, caption):
            return f"![{caption}]({figures}/{name})\n\n*{caption}*"


def _html(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"<h{level}>{html.escape(text)}</h{level}>"
        case Paragraph(text):
            return f"<p>{html.escape(text)}</p>"
        case Table(head, rows):
            top = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
            lines = ("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
            return f"<table><thead><tr>{top}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
        case Figure(name, _, caption):
            source = f"data:{_TYPES[Path(name).suffix]};base64,{base64.b64encode(block.data).decode()}"
            alt = html.escape(caption, quote=True)
            return f'<figure><img alt="{alt}" src="{source}"><figcaption>{alt}</figcaption></figure>'
