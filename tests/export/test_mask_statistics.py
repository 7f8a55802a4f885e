"""What a checkpoint says of its masks, a bundle says too."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from wetgen.export import bundle as bundles
from wetgen.export.bundle import Request, export_bundle
from wetgen.runtime.bundle.bundle import Bundle
from wetgen.runtime.bundle.graphs import Graph
from wetgen.runtime.masks.classes import TYPICAL
from wetgen.training.checkpoint import Checkpoint
from wetgen.training.mask_statistics import FILE_NAME, to_json

STATED = to_json({"stain": TYPICAL})


def test_the_statistics_of_a_checkpoint_go_into_its_bundle(
    pair_checkpoint: Path, pair_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def copy(module: Any, graph: Graph, path: Path, weights: Any, store: Any) -> bundles.files.Written:
        shutil.copyfile(pair_bundle.targets["cpu"].files[graph.name], path)
        return bundles.files.Written(path)

    monkeypatch.setattr(bundles.files, "export", copy)
    folder = shutil.copytree(pair_checkpoint, tmp_path / "checkpoint")
    (folder / FILE_NAME).write_text(json.dumps(STATED))
    export_bundle(Checkpoint.load(folder), tmp_path / "bundle", Request(("ddim:3", "ddim:2"), "pairs"))
    opened = Bundle.open(tmp_path / "bundle")
    assert opened.info["mask_statistics"] == STATED
    assert to_json(opened.mask_statistics) == STATED


def test_a_checkpoint_without_them_gives_a_bundle_without_them(pair_bundle: Bundle) -> None:
    assert pair_bundle.mask_statistics == {} and "mask_statistics" not in pair_bundle.info
