"""Names for files that every format can hold and no two pairs share."""

import hashlib
import unicodedata
from itertools import count
from pathlib import PurePosixPath

_LONGEST = 120  # characters; up to four bytes each are still within the 255 bytes of common file systems


class Names:
    """Gives out names. One depends on its own file name, and on earlier ones only where two would be equal."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def give(self, file_name: str, folder: str = "") -> str:
        """The name for the image `file_name`, without suffix; `folder` tells datasets apart that become one.

        Letters and digits of any script, "-" and "_" stay. Others (spaces, commas, dots, slashes) mean something in
        one format or another: they become "_", and a hash of the whole file name keeps the name unique.
        """
        path = PurePosixPath(file_name)
        inner = path.parts[1:] if path.parts[0] == "images" else path.parts
        asked = "/".join([*([folder] if folder else []), *inner[:-1], path.stem])
        safe = "".join(c if c.isalnum() or c in "-_" else "_" for c in unicodedata.normalize("NFC", asked))
        # A slash between folders is the ordinary case: it alone needs no hash.
        name = safe if safe == asked.replace("/", "_") and len(safe) <= _LONGEST else _hashed(safe, file_name)
        if name.casefold() in self._taken:
            name = _hashed(safe, f"{folder}/{file_name}")
        numbered = (f"{name}-{number}" for number in count(2))  # two parts may hold files of one name
        while name.casefold() in self._taken:
            name = next(numbered)
        self._taken.add(name.casefold())
        return name


def _hashed(safe: str, whole: str) -> str:
    return f"{safe[:_LONGEST]}-{hashlib.sha256(whole.encode()).hexdigest()[:10]}"
