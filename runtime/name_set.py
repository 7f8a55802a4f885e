"""The names of a dataset's pairs, kept small: a run of a million has a million."""

_BITS = 2**27  # numbers below take a bit each, 16 MiB at the very most


class NameSet:
    """A set of names. Those that a run gives, numbers of six digits or more, take a bit each; others their text."""

    def __init__(self) -> None:
        self._numbers, self._others, self._count = bytearray(), set[str](), 0

    def __contains__(self, name: str) -> bool:
        number = _number(name)
        if number is None:
            return name in self._others
        place = number >> 3
        return place < len(self._numbers) and bool(self._numbers[place] >> (number & 7) & 1)

    def __len__(self) -> int:
        return self._count

    def add(self, name: str) -> None:
        """Add a name that is not in it."""
        assert name not in self
        number = _number(name)
        if number is None:
            self._others.add(name)
        else:
            place = number >> 3
            self._numbers.extend(bytes(max(0, place + 1 - len(self._numbers))))
            self._numbers[place] |= 1 << (number & 7)
        self._count += 1


def pair_name(index: int) -> str:
    """What the files of a run's pair are called, without suffix."""
    return f"{index:06d}"


def is_index(name: str) -> bool:
    """Whether `pair_name` gives this name."""
    return name.isascii() and name.isdecimal() and name == name.lstrip("0").zfill(6)


def _number(name: str) -> int | None:
    """The index whose `pair_name` this is, or None where a bit for each below would be too many."""
    return int(name) if len(name) < 10 and is_index(name) and int(name) < _BITS else None
