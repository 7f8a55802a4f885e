"""The folder of a bundle in the making: under its final name only when it is whole."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wetgen.export import verify
from wetgen.runtime.bundle.archive import ENGINES, JSON_NAME, file_sha256
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.files import os_errors


def write_json(folder: Path, info: dict[str, Any]) -> None:
    """Write bundle.json with the size and hash of every other file of the folder, built engines left out."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    others = [name for name in names if name != JSON_NAME and not name.startswith(f"{ENGINES}/")]
    files = {name: {"bytes": (folder / name).stat().st_size, "sha256": file_sha256(folder / name)} for name in others}
    text = json.dumps({**info, "files": files}, indent=1, allow_nan=False)
    with os_errors(folder / JSON_NAME, "written"):
        (folder / JSON_NAME).write_text(text + "\n", encoding="utf-8")


def check_free(folder: Path, force: bool) -> None:
    """Raise WetgenError unless a bundle may be put at `folder`: it is free, or a bundle that `force` replaces."""
    if not folder.exists():
        return
    is_bundle = (folder / JSON_NAME).is_file()
    if not (force and is_bundle):
        raise WetgenError(
            f"{folder} exists.",
            why="a bundle is there already." if is_bundle else "it is no bundle, so it is not replaced.",
            fix="use --force to replace it, or another name." if is_bundle else "choose another name.",
        )


@contextmanager
def unfinished(folder: Path) -> Iterator[Path]:
    """A folder beside `folder` that takes its place when the block ends well."""
    part = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(part, ignore_errors=True)
    with os_errors(part, "created"):
        part.mkdir(parents=True)
    try:
        yield part
    except verify.Rejected:
        _keep_rejected(part, folder.with_name(f"{folder.name}.rejected"))
        raise
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    _put_in_place(part, folder)


def _keep_rejected(part: Path, rejected: Path) -> None:
    """Keep the graphs for whoever looks into it; without bundle.json nothing runs them by mistake."""
    (part / JSON_NAME).unlink(missing_ok=True)
    shutil.rmtree(rejected, ignore_errors=True)
    part.rename(rejected)


def _put_in_place(part: Path, folder: Path) -> None:
    old = folder.with_name(f".{folder.name}.replaced")
    shutil.rmtree(old, ignore_errors=True)
    with os_errors(folder, "written"):
        if folder.exists():
            folder.rename(old)
        part.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
