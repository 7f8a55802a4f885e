"""Train, validation and test parts that stay as they are when a dataset grows, and never cut through a group."""

import hashlib
from collections.abc import Mapping, Sequence

from wetgen.runtime.errors import WetgenError
from wetgen.runtime.formats.example import SPLITS
from wetgen.runtime.metadata import Row

_WHOLE = 1e-9  # shares written in decimals add up to 1 within this


def parse_shares(text: str) -> dict[str, float]:
    """The shares in "train=0.8,validation=0.1,test=0.1", in the order of SPLITS; they must add up to 1."""
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, _, number = part.partition("=")
        try:
            share = float(number)
        except ValueError:
            share = -1
        if name.strip() not in SPLITS or name.strip() in shares or not 0 <= share <= 1:
            raise _unusable(text, f"{part.strip()!r} is no share of {', '.join(SPLITS)}, or stands twice")
        shares[name.strip()] = share
    if abs(sum(shares.values()) - 1) > _WHOLE:
        raise _unusable(text, f"the shares add up to {sum(shares.values()):g}")
    return {name: shares[name] for name in SPLITS if name in shares}


def split_rows(rows: Sequence[Row], shares: Mapping[str, float] | None, group: str) -> list[str | None]:
    """The part of each row: its own `split` where every row has one, else by a hash of its group, else None.

    `group` is the key whose equal values stay together: `scene`, or another key that every row has. A row's part
    depends on its group and the shares alone, so rows that are added move none. Raises WetgenError when only some rows
    state a split, when they do and shares are asked for as well, and for rows without a group.
    """
    stated = [row for row in rows if "split" in row.extra]
    if not stated:
        return [None if shares is None else _drawn(_group(row, group), shares) for row in rows]
    if len(stated) < len(rows):
        raise WetgenError(
            f"{len(stated)} of {len(rows)} rows state a split.",
            why="the others would have to be guessed.",
            fix='write "split" into every row, or into none and use --split.',
        )
    if shares is not None:
        raise WetgenError(
            "The rows state their split already.",
            why="another one could put into training what was kept for tests.",
            fix='leave --split out, or delete "split" from the rows.',
        )
    return [_stated(row) for row in rows]


def _drawn(group: str, shares: Mapping[str, float]) -> str:
    """The part at the place in [0, 1) that the group's hash gives."""
    place = int.from_bytes(hashlib.sha256(group.encode()).digest()[:8], "big") / 2**64
    end = 0.0
    for name, share in shares.items():
        end += share
        if place < end:
            return name
    return [name for name, share in shares.items() if share > 0][-1]  # the sum of the shares may be just below 1


def _group(row: Row, key: str) -> str:
    if key == "scene":
        return row.scene
    value = row.extra.get(key)
    if not isinstance(value, str | int) or value == "":
        raise WetgenError(
            f"metadata.jsonl, line {row.line}: there is no {key} to group by.",
            why="a row without a group could be torn from those it belongs to.",
            fix=f'write "{key}" into every row, or group by scene.',
        )
    return str(value)


def _stated(row: Row) -> str:
    part = row.extra["split"]
    if part not in SPLITS:
        raise WetgenError(
            f"metadata.jsonl, line {row.line}: {part!r} is no split.",
            why=f"splits are called {', '.join(SPLITS)}.",
            fix="correct the row.",
        )
    return str(part)


def _unusable(text: str, why: str) -> WetgenError:
    return WetgenError(
        f"--split {text} splits nothing.", why=f"{why}.", fix="--split train=0.8,validation=0.1,test=0.1"
    )
