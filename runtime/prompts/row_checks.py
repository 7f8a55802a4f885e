"""From the rows of a prompts file to its lines: what was written is checked where it stands."""

import re
from collections.abc import Collection
from typing import Any

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.prompts.cell import TEXT, Cell, Row
from wetgen.runtime.prompts.faults import Faults
from wetgen.runtime.prompts.line import MOST_LISTED, Line, Words
from wetgen.runtime.prompts.severity import severity_words
from wetgen.runtime.prompts.template import CLASS, SEVERITY
from wetgen.runtime.prompts.values import Wrong, lead, read_value


def line_of(row: Row, words: Words, quota: Collection[str] | None, faults: Faults) -> Line | None:
    """The line that a row describes, or None with everything that is wrong in it told to `faults`.

    `quota` are the classes of the command's quota, None without one.
    """
    before = len(faults)
    values = {name: _value(name, cell, words, faults) for name, cell in row.cells.items()}
    if TEXT not in row.cells:
        faults.add(
            (row.line, 1),
            "there is no prompt.",
            why="options alone draw nothing.",
            fix=f"write the text: before the options in a .txt, as '{TEXT}' in a .csv or .jsonl.",
        )
    if len(faults) > before:
        return None
    line = Line(
        line=row.line,
        text=values.pop(TEXT),
        classes=values.pop("class", ()),
        **values,
    )
    _check_placeholders(line, row, words, quota, faults)
    if len(faults) == before and line.severity is not None:
        _check_severity(line, row, words, quota, faults)
    return line if len(faults) == before else None


def _value(name: str, cell: Cell, words: Words, faults: Faults) -> Any:
    try:
        return read_value(name, cell, words)
    except Wrong as wrong:
        faults.add(cell.place(wrong.offset), f"{name}: {wrong.what}", why=wrong.why, fix=wrong.fix)
        return None


def _check_placeholders(line: Line, row: Row, words: Words, quota: Collection[str] | None, faults: Faults) -> None:
    for cell, template in ((row.cells[TEXT], line.template), (row.cells.get("negative"), line.negative_template)):
        if cell is None:
            continue
        if CLASS in template.placeholders and not line.classes and quota is None:
            faults.add(
                _where(cell, CLASS),
                "{class} stands for no class.",
                why="neither the line nor a quota says one.",
                fix="give the line a class, such as mold or mold|stain, or run with --quota.",
            )
        for name in _candidates(line, quota) if CLASS in template.placeholders else ():
            if name is not None and not words[name]:
                faults.add(
                    _where(cell, CLASS),
                    f"there is no word for {{class}} '{name}'.",
                    why="the bundle lists none for it.",
                    fix="write the damage out in the text.",
                )
        if SEVERITY in template.placeholders and line.severity is None:
            faults.add(
                _where(cell, SEVERITY),
                "{severity} stands for no severity.",
                why="the line says none.",
                fix="give the line a severity from 0 to 1.",
            )


def _check_severity(line: Line, row: Row, words: Words, quota: Collection[str] | None, faults: Faults) -> None:
    """Every expansion has a place for the severity's words; found now, and not in the middle of a run."""
    assert line.severity is not None
    if SEVERITY in line.template.certain:
        return
    place = row.cells[TEXT].place(lead(row.cells[TEXT]))
    if line.template.count > MOST_LISTED:
        faults.add(
            place,
            f"the place of '{severity_words(line.severity)}' is not clear.",
            why=f"the text has {line.template.count} combinations, and at most {MOST_LISTED} are searched for damage.",
            fix="write {severity} where the words are to stand.",
        )
        return
    for asked in _candidates(line, quota):
        try:
            line.try_severity(asked, words)
        except WetgenError as error:
            faults.add(place, error.what, why=error.why, fix=error.fix)
            return


def _candidates(line: Line, quota: Collection[str] | None) -> tuple[str | None, ...]:
    """The classes that the line's {class} may stand for."""
    if line.classes or CLASS not in line.placeholders:
        return line.classes or (None,)
    return tuple(quota or ())


def _where(cell: Cell, name: str) -> tuple[int, int]:
    """The place of a placeholder's first mention."""
    found = re.search(rf"\{{\s*{name}\s*\}}", cell.value)
    return cell.place(0 if found is None else found.start())
