"""metadata.jsonl beside a format that has no place for captions, scenes and licences: a row per image, by file name.

The formats' own tools don't look at it; `wetgen convert --from` does, so that nothing of a row is lost on the way back.
"""

import json
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

from wetgen.runtime.classes import IGNORE, ClassTable
from wetgen.runtime.dataset import IGNORE_KEY
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import read_bytes
from wetgen.runtime.formats.new_folder import NewFolder
from wetgen.runtime.metadata import METADATA, lines, parse, place
from wetgen.runtime.pictures import Pixels


class Sidecar:
    """Collects rows and writes them in the end."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(self, row: Mapping[str, object], **keys: str) -> None:
        """Add a row; `keys` are the files' names in the new folder and the like, and come first."""
        self._lines.append(json.dumps({**keys, **row}, ensure_ascii=False) + "\n")

    def write(self, folder: NewFolder) -> None:
        """Put metadata.jsonl into the folder."""
        folder.write(METADATA, "".join(self._lines).encode())


def read_sidecar(folder: Path) -> dict[str, dict[str, object]]:
    """The rows by file name, without it; none where there is no metadata.jsonl."""
    path = folder / METADATA
    if not path.exists():
        return {}
    rows = {}
    for line in lines(BytesIO(read_bytes(path))):
        row = parse(line, path)
        name = row.pop("file_name", None)
        if not isinstance(name, str):
            raise WetgenError(
                f"{place(path, line.number)}: the key file_name is missing.",
                why="rows belong to images by it.",
                fix="write it, or remove metadata.jsonl to do without captions.",
            )
        row.pop("mask_file_name", None)
        rows[name] = row
    return rows


def completed(row: Mapping[str, object], name: str, mask: Pixels, classes: ClassTable) -> dict[str, object]:
    """A row with what the dataset folder asks for: `text`, made of the classes in the mask where there is none.

    It states IGNORE where the mask has it, so that nobody needs to allow it again.
    """
    if (mask == IGNORE).any():
        row = {**row, IGNORE_KEY: IGNORE}
    text = row.get("text")
    if isinstance(text, str) and text.strip():
        return {"scene": name, **row}
    present = [classes.names[id] for id in range(1, len(classes)) if (mask == id).any()]
    made = {"text": ", ".join(present) if present else "no damage", "text_from": "mask"}
    return {"scene": name, **row, **made}
