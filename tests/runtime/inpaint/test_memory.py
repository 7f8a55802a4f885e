"""A photograph of twelve megapixels is painted in the memory of a small board."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

MOST = 10**9  # bytes; the shipped bundle on onnxruntime alone takes 0.37 GB, and the picture is 36 MB

# A process between this one and the one that is measured: a child that is forked from a process full of other tests'
# arrays counts these as its own.
BETWEEN = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:])
print(done.returncode, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@pytest.mark.slow
def test_twelve_megapixels_are_painted_in_less_than_a_gigabyte(tmp_path):
    rng = np.random.default_rng(0)
    light = np.linspace(90, 200, 3000)[:, None, None]
    grain = rng.integers(-16, 16, (3000, 4000, 3), np.int16)
    (tmp_path / "photos").mkdir()
    Image.fromarray((light + grain).astype(np.uint8)).save(tmp_path / "photos" / "large.jpg", quality=90)
    (tmp_path / "boxes.csv").write_text("class,x,y,width,height\nstain,30%,30%,30%,30%\n")
    command = [sys.executable, "-m", "wetgen.runtime.cli", "paint", "--photos", tmp_path / "photos", "--quiet"]
    command += ["--boxes", tmp_path / "boxes.csv", "--out", tmp_path / "out", "--plan", "fast", "--threads", "1"]
    words = [sys.executable, "-c", BETWEEN, *map(str, command)]
    said = subprocess.run(words, check=True, capture_output=True, text=True)
    code, kilobytes = map(int, said.stdout.split()[-2:])
    assert code == 0, said.stderr
    assert kilobytes * 1024 < MOST
    (row,) = map(json.loads, (tmp_path / "out" / "metadata.jsonl").read_text().splitlines())
    with Image.open(tmp_path / "out" / row["file_name"]) as picture:
        assert picture.size == (4000, 3000)
