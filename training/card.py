"""The model card of a checkpoint: what it was trained on, for how long, and what it reached."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wetgen.runtime.masks.classes import ClassTable

CARD_NAME = "MODEL_CARD.md"


def last_figures(metrics: Path) -> dict[str, dict[str, float]]:
    """The newest validation figures of each stage in a metrics.jsonl."""
    figures: dict[str, dict[str, float]] = {}
    if metrics.is_file():
        for line in filter(None, metrics.read_text(encoding="utf-8").split("\n")):
            row = json.loads(line)
            stage = row.pop("stage")
            if stage.endswith("-validation"):
                figures[stage.removesuffix("-validation")] = {k: v for k, v in row.items() if k != "time"}
    return figures


def _distilled(info: Mapping[str, Any]) -> list[str]:
    if "guidance_range" not in info:
        return []
    least, greatest = info["guidance_range"]
    return ["", f"Its guidance is distilled: guidance from {least:g} to {greatest:g} is an input of the denoiser."]


def render(info: Mapping[str, Any], classes: ClassTable, figures: Mapping[str, Mapping[str, float]]) -> str:
    """The card as Markdown; `info` is the checkpoint's wetgen.json."""
    minutes = ", ".join(f"{stage} {value:g} minutes" for stage, value in info["training_minutes"].items())
    reached = [f"- {stage}: {', '.join(f'{k} {v:g}' for k, v in row.items())}" for stage, row in figures.items()]
    rows = [f"| {s['source']} | {s['license']} | {s['pairs']} |" for s in info["trained_on"]]
    return "\n".join(
        [
            "# Model card",
            "",
            f"Draws pairs of {info['config']['data']['size']} x {info['config']['data']['size']} pixels with classes "
            f"{', '.join(classes.names)}.",
            *_distilled(info),
            "",
            "## Trained on",
            "",
            "| source | licence | pairs |",
            "|---|---|---|",
            *rows,
            "",
            "## Training",
            "",
            f"{minutes}; seed {info['config']['seed']}. On scenes that training never saw:",
            "",
            *reached,
            "",
            "Everything it draws is synthetic. Pairs that train a model should be looked at first.",
            "",
        ]
    )
