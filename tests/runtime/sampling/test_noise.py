"""Starting noise: the same for the same seed and index everywhere, and different for any other."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from wetgen.runtime.prompts.lines import SEED_LIMIT
from wetgen.runtime.sampling.sampler import starting_noise

GOLDEN = Path(__file__).parents[2] / "golden" / "noise.json"
SEEDS = st.integers(0, SEED_LIMIT - 1)
INDEXES = st.integers(0, 2**40)


@given(SEEDS, INDEXES)
def test_noise_is_a_pure_function_of_seed_and_index(seed, index):
    first = starting_noise(seed, index, (2, 3))
    starting_noise(seed, index + 1, (5,))  # what is drawn in between changes nothing
    assert first.dtype == np.float32 and first.shape == (2, 3)
    np.testing.assert_array_equal(first, starting_noise(seed, index, (2, 3)))


@given(SEEDS, INDEXES, SEEDS, INDEXES)
def test_another_seed_or_index_gives_other_noise(seed, index, other_seed, other_index):
    same = (seed, index) == (other_seed, other_index)
    assert np.array_equal(starting_noise(seed, index, (8,)), starting_noise(other_seed, other_index, (8,))) == same


def test_seed_and_index_are_not_interchangeable():
    assert not np.array_equal(starting_noise(1, 2, (8,)), starting_noise(2, 1, (8,)))
    assert not np.array_equal(starting_noise(0, 1, (8,)), starting_noise(1, 0, (8,)))


@given(SEEDS, INDEXES, st.integers(0, 2**40), st.integers(0, 2**40))
def test_every_try_has_noise_of_its_own_and_the_first_is_what_it_always_was(seed, index, attempt, other):
    noise = starting_noise(seed, index, (8,), attempt)
    np.testing.assert_array_equal(noise, starting_noise(seed, index, (8,), attempt))
    assert np.array_equal(noise, starting_noise(seed, index, (8,), other)) == (attempt == other)
    np.testing.assert_array_equal(starting_noise(seed, index, (8,)), starting_noise(seed, index, (8,), 0))


def test_tries_do_not_meet_those_of_other_pairs():
    """As they would if a try only moved the seed or the index, or began further along in the stream."""
    drawn = {
        starting_noise(seed, index, (4,), attempt).tobytes()
        for seed in range(4)
        for index in range(4)
        for attempt in range(4)
    }
    assert len(drawn) == 64
    first, second = (starting_noise(3, 5, (2**14,), attempt) for attempt in (0, 1))
    assert not np.isin(second[:64], first).any()
    # 2^14 draws: five standard errors of a correlation of 0
    assert abs(np.corrcoef(first, second)[0, 1]) < 5 / 2**7


def test_noise_is_standard_normal_and_independent_from_pair_to_pair():
    draws = np.stack([starting_noise(7, index, (4096,)) for index in range(8)])
    # 8 * 4096 draws: five standard errors of mean, variance and correlation
    assert abs(draws.mean()) < 5 / np.sqrt(draws.size)
    assert abs(draws.var() - 1) < 5 * np.sqrt(2 / draws.size)
    assert np.abs(np.corrcoef(draws) - np.eye(8)).max() < 5 / np.sqrt(4096)


def test_another_process_draws_the_same_bits():
    code = (
        "import sys; from wetgen.runtime.sampling.sampler import starting_noise;"
        "sys.stdout.write(starting_noise(2**62 + 1, 12345, (4, 8)).tobytes().hex())"
    )
    there = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert there == starting_noise(2**62 + 1, 12345, (4, 8)).tobytes().hex()


def test_golden_noise(request):
    got = {
        f"{seed} {index}": starting_noise(seed, index, (6,)).tolist()
        for seed, index in [(0, 0), (0, 1), (1, 0), (SEED_LIMIT - 1, 2**40)]
    }
    got["1 2 try 3"] = starting_noise(1, 2, (6,), 3).tolist()
    if request.config.getoption("--update-golden"):
        GOLDEN.write_text(json.dumps(got, indent=1) + "\n")
    kept = json.loads(GOLDEN.read_text())
    assert got.keys() == kept.keys()
    for name, values in got.items():
        # The bits are Philox's; numpy may compute the tails of the normal with another libm.
        np.testing.assert_allclose(values, kept[name], rtol=1e-6)
