import re
from html.parser import HTMLParser
from pathlib import Path

from wetgen.benchmarks.document import Figure, Heading, Paragraph, Table, write

PNG = b"\x89PNG not read here"
BLOCKS = [
    Heading("IoU < 1"),
    Paragraph("Real & synthetic."),
    Table(["class", "IoU"], [["crack | thin", "0.5"], ["stain", "-"]]),
    Figure("worst.png", lambda: PNG, 'the "worst" pair'),
]


def test_the_page_needs_no_other_file_and_is_well_formed(tmp_path: Path) -> None:
    write(BLOCKS, "Worth", tmp_path, "report")
    page = (tmp_path / "report.html").read_text()
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    open_tags: list[str] = []

    class Balanced(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag not in ("meta", "img"):
                open_tags.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert open_tags.pop() == tag

    Balanced().feed(page)
    assert not open_tags
    assert "IoU &lt; 1" in page and "Real &amp; synthetic." in page


def test_the_markdown_stands_with_its_figures(tmp_path: Path) -> None:
    write(BLOCKS, "Worth", tmp_path, "report")
    text = (tmp_path / "report.md").read_text()
    assert "| crack \\| thin | 0.5 |" in text and text.startswith("# Worth\n")
    (target,) = re.findall(r"\]\((.*?)\)", text)
    assert (tmp_path / target).read_bytes() == PNG
