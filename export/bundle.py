"""A checkpoint to a bundle: plans, graphs, the gate, bundle.json; under its final name only when all of it holds.

One network is in memory at a time, so that a Stable-Diffusion-sized checkpoint fits into a workstation.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from wetgen.export import onnx, reference, verify, wrappers
from wetgen.export.folder import check_free, unfinished, write_json
from wetgen.export.onnx import Weights
from wetgen.export.plans import plans_of
from wetgen.export.tokens import padded
from wetgen.runtime.bundle import (
    FORMAT,
    TOKENIZER_NAME,
    Bundle,
    declarations,
    plan_to_json,
    sizes_to_json,
)
from wetgen.runtime.graphs import graphs_of
from wetgen.runtime.schedule import Plan
from wetgen.runtime.tokenizer import PromptTokenizer
from wetgen.training.card import CARD_NAME
from wetgen.training.checkpoint import Checkpoint, return_memory

MOST_PROMPTS = 4  # of the checkpoint's own prompts that the gate draws, per plan
FALLBACK_PROMPTS = ("a wet wall", "a dark stain on a white ceiling")  # for a checkpoint that brings none
FALLBACK_GUIDANCE = 7.5  # Stable Diffusion's; a wetgen checkpoint states its own

Say = Callable[[str], None]


@dataclass(frozen=True)
class Request:
    """What the user asked for; None means what the checkpoint says."""

    plans: tuple[str, ...] = ("ddim:20",)
    name: str | None = None
    guidance: float | None = None
    weights: Weights = "float32"
    prompts: tuple[str, ...] = ()
    force: bool = False


def export_bundle(checkpoint: Checkpoint, folder: Path, request: Request, say: Say = lambda _: None) -> dict[str, Any]:
    """Write and verify the bundle; returns what was measured. On any failure nothing stands under `folder`.

    Raises WetgenError for an impossible request, and verify.Rejected for a bundle that does not compute what the
    checkpoint computes; that one is kept, without its bundle.json, as FOLDER.rejected.
    """
    check_free(folder, request.force)
    plans = plans_of(request.plans, checkpoint.schedule.steps)
    with unfinished(folder) as part:
        export = _Export(checkpoint, part, request, plans, say)
        export.write_graphs()
        info = export.describe()
        write_json(part, info)
        say(f"drawing {len(export.pictures)} pictures with the bundle")
        found = verify.check_pictures(Bundle.open(part), export.pictures, export.guidance, request.weights)
        measured = {"graphs": export.figures, "plans": found, "limits": export.limits}
        write_json(part, {**info, "measured": measured})
        Bundle.open(part)
    return measured


@dataclass
class _Export:
    """One export under way in the folder `part`."""

    checkpoint: Checkpoint
    part: Path
    request: Request
    plans: list[Plan]
    say: Say
    files: dict[str, list[Path]] = field(default_factory=dict)
    figures: dict[str, verify.Figures] = field(default_factory=dict)
    pictures: list[reference.Picture] = field(default_factory=list)

    @property
    def guidance(self) -> float:
        stated = self.checkpoint.info.get("guidance", FALLBACK_GUIDANCE)
        return float(stated if self.request.guidance is None else self.request.guidance)

    @property
    def prompts(self) -> list[str]:
        """The prompts the gate draws: the user's, or some of the checkpoint's."""
        own = self.checkpoint.info.get("prompts", FALLBACK_PROMPTS)
        return list(self.request.prompts) if self.request.prompts else list(own)[:MOST_PROMPTS]

    @property
    def limits(self) -> dict[str, float]:
        return {"psnr_db": verify.LEAST_PSNR, "mask_agreement": verify.LEAST_AGREEMENT}

    def write_graphs(self) -> None:
        """Export and check the graphs, network by network, and compute the pictures the bundle must draw."""
        texts = self._text()
        last = self._denoiser(texts)
        self._vae(last)

    def _text(self) -> NDArray[np.float32]:
        """Write tokenizer and text graph; returns the embeddings of "" and of the gate's prompts, (1 + N, T, E)."""
        sizes = self.checkpoint.sizes
        file = self.part / TOKENIZER_NAME
        padded(self.checkpoint.tokenizer, self.checkpoint.folder, sizes.tokens).save(str(file))
        ids = PromptTokenizer(file, sizes.tokens).encode(["", *self.prompts], truncate=True)
        encoder = self.checkpoint.text_encoder
        graph = graphs_of(sizes)["text"]
        cases = reference.text_cases(encoder, graph, ids)
        texts = reference.embeddings(encoder, ids)
        self._write("text", wrappers.text(encoder))
        self.checkpoint.release("text_encoder")
        del encoder
        self._check("text", cases)
        return texts

    def _denoiser(self, texts: NDArray[np.float32]) -> dict[str, list[NDArray[np.float32]]]:
        """Write the denoise graph; returns the last latents of every plan."""
        sizes, unet = self.checkpoint.sizes, self.checkpoint.unet
        steps = [step for plan in self.plans for step in plan.steps]
        cases = reference.denoise_cases(unet, graphs_of(sizes)["denoise"], sizes, steps, texts)
        last = reference.latents(unet, sizes, self.plans, texts, self.guidance)
        self._write("denoise", wrappers.denoise(unet, steps, sizes))
        self.checkpoint.release("unet")
        del unet
        self._check("denoise", cases)
        return last

    def _vae(self, last: dict[str, list[NDArray[np.float32]]]) -> None:
        """Write the decode and encode graphs, and the pictures of the last latents."""
        sizes, vae = self.checkpoint.sizes, self.checkpoint.vae
        graphs = graphs_of(sizes)
        self.pictures = reference.pictures(vae, self.prompts, last)
        decode = reference.decode_cases(vae, graphs["decode"], last[self.plans[0].name][:1])
        encode = reference.encode_cases(vae, graphs["encode"], sizes, self.pictures[:1])
        self._write("decode", wrappers.decode(vae, sizes))
        self._write("encode", wrappers.encode(vae, sizes))
        self.checkpoint.release("vae")
        del vae
        self._check("decode", decode)
        self._check("encode", encode)

    def _write(self, name: str, wrapper: nn.Module) -> None:
        self.say(f"exporting {name}")
        graph = graphs_of(self.checkpoint.sizes)[name]
        self.files[name] = onnx.export(wrapper, graph, self.part / f"{name}.onnx", self.request.weights)

    def _check(self, name: str, cases: Sequence[reference.Case]) -> None:
        graph, path = graphs_of(self.checkpoint.sizes)[name], self.files[name][0]
        self.figures[name] = verify.check_graphs(cases, graph, path, self.request.weights)
        return_memory()

    def describe(self) -> dict[str, Any]:
        """bundle.json, all but "files" and "measured"."""
        checkpoint, request = self.checkpoint, self.request
        precision = "float32" if request.weights == "float32" else "float32, weights stored as float16"
        files = {name: paths[0].name for name, paths in self.files.items()}
        card = checkpoint.folder / CARD_NAME
        if card.is_file():
            shutil.copyfile(card, self.part / CARD_NAME)
        return {
            "format": FORMAT,
            "name": request.name,
            "made_by": f"wetgen {version('wetgen')}",
            "versions": {name: version(name) for name in ("torch", "diffusers", "transformers", "onnx", "onnxruntime")},
            "classes": None if checkpoint.classes is None else checkpoint.classes.to_json(),
            "words": checkpoint.info.get("words", {}),
            "sizes": sizes_to_json(checkpoint.sizes),
            "graphs": declarations(checkpoint.sizes, files, precision, "any ONNX engine"),
            "plans": {plan.name: plan_to_json(plan) for plan in self.plans},
            "default_plan": self.plans[0].name,
            "default_guidance": self.guidance,
            "prompts": list(checkpoint.info.get("prompts", [])),
            "trained_on": checkpoint.info.get("trained_on", []),
            "training": checkpoint.info.get("config", {}),
            "schedule": {**asdict(checkpoint.schedule), "alphas_cumprod": checkpoint.schedule.table().tolist()},
        }
