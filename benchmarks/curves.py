"""The curves of a training run as one SVG: `python -m wetgen.benchmarks.curves RUN OUT.svg`."""

import json
from pathlib import Path
from typing import Any

import click

SHOWN = {
    "vae": ("l1", "mask", "critic"),
    "vae-validation": ("l1", "damage_iou"),
    "denoiser": ("loss",),
    "denoiser-validation": ("loss",),
}


def series(rows: list[dict[str, Any]], stage: str, name: str) -> tuple[list[int], list[float]]:
    """Steps and values of one scalar of one stage."""
    found = [(row["step"], row[name]) for row in rows if row["stage"] == stage and name in row]
    return [step for step, _ in found], [value for _, value in found]


def draw(rows: list[dict[str, Any]], out: Path) -> None:
    """Two panels: the VAE's scalars and the denoiser's, validation as dots."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "wetgen"  # the same rows give the same file
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 2, figsize=(10, 3.2))
    for panel, network in zip(panels, ("vae", "denoiser"), strict=True):
        for stage in (network, f"{network}-validation"):
            for name in SHOWN[stage]:
                steps, values = series(rows, stage, name)
                style = {"marker": "o", "linestyle": ":"} if "validation" in stage else {"linewidth": 1}
                panel.plot(
                    steps, values, label=f"{name} ({'validation' if 'validation' in stage else 'training'})", **style
                )
        panel.set_title(network)
        panel.set_xlabel("step")
        panel.set_yscale("log")
        panel.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(out, metadata={"Date": None})
    pyplot.close(figure)


@click.command()
@click.argument("run", type=click.Path(exists=True, path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
def main(run: Path, out: Path) -> None:
    """Draw the metrics.jsonl of RUN into OUT."""
    path = run / "metrics.jsonl"
    if not path.is_file():
        raise click.ClickException(f"{path} is missing: give the --out folder of a wetgen-train run.")
    draw([json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line], out)


if __name__ == "__main__":
    main()
