"""Whether a device draws what the CPU draws, and how fast: the figures of device_check.sh beside this file.

    python -m wetgen.benchmarks.experiments.device_check compare CPU_RUN DEVICE_RUN --out verified.json
    python -m wetgen.benchmarks.experiments.device_check report FOLDER

Works on run folders, with the lean install: no torch, no GPU.
"""

import json
import math
import statistics
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from wetgen.benchmarks.metrics import psnr
from wetgen.runtime.cli import Cli
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.masks.images import read_image, read_mask
from wetgen.runtime.run.record import FILE_NAME, read_record

# Float16 against float32, over a whole trajectory: DDIM carries each step's rounding into the next. At export the gate
# holds each target to its own measured limits; these only tell a sound device from one that draws something else.
LEAST_PSNR = 25.0
LEAST_AGREEMENT = 0.95

_SHOWN = ("pairs", "least_psnr_db", "median_psnr_db", "least_mask_agreement", "missing")


def compare(reference: Path, run: Path) -> dict[str, Any]:
    """Every pair of two run folders with the same settings, picture by picture and mask by mask.

    Raises WetgenError when they are not runs of the same settings.
    """
    before, after = read_record(reference), read_record(run)
    if before["settings"] != after["settings"]:
        raise WetgenError(
            f"{reference} and {run} are different runs.",
            why="their settings (bundle, prompts, seed, plan, guidance, filter) are not the same.",
            fix="run both with the same options; only --device and --batch may differ.",
        )
    names = sorted(path.name for path in (reference / "images").glob("*.png"))
    both = [name for name in names if (run / "images" / name).exists()]
    psnrs = [psnr(read_image(reference / "images" / name), read_image(run / "images" / name)) for name in both]
    agreements = [
        float((read_mask(reference / "masks" / name) == read_mask(run / "masks" / name)).mean())
        for name in both
        if (reference / "masks" / name).exists()
    ]
    return {
        "reference": {"device": before["device"], "target": before["target"]},
        "device": {"device": after["device"], "target": after["target"], "batch": after["batch"]},
        "pairs": len(both),
        "missing": len(names) - len(both),
        "least_psnr_db": min(psnrs, default=math.nan),
        "median_psnr_db": statistics.median(psnrs) if psnrs else math.nan,
        "least_mask_agreement": min(agreements, default=1.0),
        "limits": {"psnr_db": LEAST_PSNR, "mask_agreement": LEAST_AGREEMENT},
        "notes": after.get("notes", []),
    }


def check(found: Mapping[str, Any]) -> None:
    """Raise WetgenError when a device draws something else than the CPU."""
    lacking = found["missing"] or not found["pairs"]
    if lacking or not (
        found["least_psnr_db"] >= LEAST_PSNR and found["least_mask_agreement"] >= LEAST_AGREEMENT
    ):  # false for NaN too
        raise WetgenError(
            "The device does not draw what the CPU draws.",
            why=", ".join(f"{name} {found[name]:.4g}" for name in _SHOWN) + f"; limits: {found['limits']}.",
            fix="send the report folder; until then use --device cpu or cuda.",
        )


def report(folder: Path) -> str:
    """The report of a checked device in Markdown, from what the script left in the folder."""
    return "\n".join(_report_lines(folder)) + "\n"


def _report_lines(folder: Path) -> Iterator[str]:
    yield "# Device check"
    yield ""
    yield "```"
    yield _text(folder / "doctor.txt")
    yield "```"
    yield ""
    yield "## Same pairs as the CPU"
    yield ""
    for path in sorted(folder.glob("verified*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        yield f"{path.stem}: " + ", ".join(f"{name} {found[name]:.4g}" for name in _SHOWN)
    yield ""
    yield "## Speed"
    yield ""
    yield "| run | device | target | batch | pairs | seconds | pairs a second |"
    yield "|---|---|---|---|---|---|---|"
    for path in sorted(folder.glob(f"speed-*/{FILE_NAME}")):
        yield _speed_row(path.parent)
    yield ""
    yield "## Engines"
    yield ""
    yield "```"
    yield _text(folder / "build.txt")
    yield "```"


def _speed_row(run: Path) -> str:
    record = read_record(run)
    cells = [run.name, record["device"], record["target"], record["batch"], record["counts"]["written"]]
    return "| " + " | ".join(map(str, [*cells, record["seconds_generating"], record["images_per_second"]])) + " |"


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace").strip() if path.is_file() else f"({path.name} is missing)"


@click.group(cls=Cli, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """What a device draws against what the CPU draws, and how fast."""


@cli.command("compare")
@click.argument("reference", type=click.Path(path_type=Path))
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="JSON file for the figures.")
def compare_command(reference: Path, run: Path, out: Path) -> None:
    """Compare the pairs of two run folders; fails when they are not the same pictures."""
    found = compare(reference, run)
    out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    click.echo(", ".join(f"{name} {found[name]:.4g}" for name in _SHOWN))
    check(found)


@cli.command("report")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
def report_command(folder: Path) -> None:
    """Write FOLDER/report.md from what the script left there."""
    (folder / "report.md").write_text(report(folder), encoding="utf-8")


if __name__ == "__main__":
    cli()
