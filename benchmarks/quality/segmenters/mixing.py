"""How real and extra pairs are mixed in training, the same way for every segmenter."""

MOST_EXTRA = 3.0  # extra pairs beside each real one, at most: more of them bring variety, not weight


def extra_per_real(real: int, extra: int) -> float:
    """How many extra pairs a real pair is outweighed by, of sets with so many pairs."""
    return min(MOST_EXTRA, extra / real)


def weight_of_extra(real: int, extra: int) -> float:
    """What an extra pair weighs when a real one weighs 1."""
    return extra_per_real(real, extra) * real / extra
