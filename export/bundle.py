"""A checkpoint to a bundle: plans, graphs for every target, the gate, bundle.json; under its name only when all holds.

One network is in memory at a time, so that a Stable-Diffusion-sized checkpoint fits into a workstation.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wetgen.export import reference, verify
from wetgen.export.folder import check_free, unfinished, write_json
from wetgen.export.graphs import wrappers
from wetgen.export.graphs.cross_attention import keys_and_values
from wetgen.export.graphs.denoisers import denoise
from wetgen.export.graphs.wrappers import Wrapper
from wetgen.export.onnx import files
from wetgen.export.onnx.files import Weights
from wetgen.export.onnx.weights import WeightStore
from wetgen.export.precision import mixed_precision
from wetgen.export.search.plans import Named, Network, parsed, placed
from wetgen.export.search.search import PlanSearch, quality_asked, search
from wetgen.export.tokens import padded
from wetgen.export.work import work_of_bundle
from wetgen.runtime.bundle.archive import TOKENIZER_NAME
from wetgen.runtime.bundle.bundle import (
    FORMAT,
    Bundle,
    declarations,
    graph_entry,
    plan_to_json,
    sizes_to_json,
    target_entry,
)
from wetgen.runtime.bundle.graphs import Plan, StepKind, denoise_name, kinds_of
from wetgen.runtime.bundle.targets import DEFAULT_BATCHES, DEFAULT_TARGET, TARGETS
from wetgen.runtime.bundle.tokenizer import PromptTokenizer
from wetgen.runtime.errors import Say, WetgenError
from wetgen.runtime.sampling.generator import check_guidance
from wetgen.training.card import CARD_NAME
from wetgen.training.checkpoint import Checkpoint, return_memory
from wetgen.training.mask_statistics import to_json

MOST_PROMPTS = 4  # of the checkpoint's own prompts that the gate draws, per plan
FALLBACK_PROMPTS = ("a wet wall", "a dark stain on a white ceiling")  # for a checkpoint that brings none
FALLBACK_GUIDANCE = 7.5  # Stable Diffusion's; a wetgen checkpoint states its own


@dataclass(frozen=True)
class Request:
    """What the user asked for; None means what the checkpoint says."""

    plans: tuple[str, ...] = ("ddim:20",)
    name: str | None = None
    guidance: float | None = None
    weights: Weights = "float32"
    prompts: tuple[str, ...] = ()
    force: bool = False
    targets: tuple[str, ...] = (DEFAULT_TARGET,)
    batches: tuple[int, ...] = DEFAULT_BATCHES
    judge: Path | None = None  # a bundle whose judge is asked about the plans that a search finds

    def __post_init__(self) -> None:
        for name in self.targets:
            if name not in TARGETS:
                raise _impossible(f"There is no target '{name}'.", f"targets are {', '.join(TARGETS)}.", "choose some.")
        if not self.targets or len(set(self.targets)) != len(self.targets):
            raise _impossible(
                f"The targets are {', '.join(self.targets) or 'none'}.", "each is given once.", "name some."
            )
        if not self.batches or any(batch < 1 for batch in self.batches):
            listed = ", ".join(map(str, self.batches)) or "none"
            raise _impossible(f"The batches are {listed}.", "an engine draws 1 pair or more.", "use, say, 1,2,4,8.")


def _impossible(what: str, why: str, fix: str) -> WetgenError:
    return WetgenError(what, why=why, fix=fix)


def export_bundle(checkpoint: Checkpoint, folder: Path, request: Request, say: Say = lambda _: None) -> dict[str, Any]:
    """Write and verify the bundle; returns what was measured, by target. On failure nothing stands under `folder`.

    Raises WetgenError for an impossible request, and verify.Rejected for a bundle that does not compute what the
    checkpoint computes; that one is kept, without its bundle.json, as FOLDER.rejected.
    """
    check_free(folder, request.force)
    named = plans_named(checkpoint, request, say)
    plans = placed(named, checkpoint.schedule, network_of(checkpoint))
    with unfinished(folder) as part:
        job = _job(checkpoint, part, request, plans, say)
        export = _Export(request, {one.name: one.said for one in named}, job)
        check_guidance(job.guidance, checkpoint.guidance_range)
        export.write_graphs()
        info = export.describe()
        if job.targets:
            small = mixed_precision.export(job)
            info["targets"].update(small.entries)
        write_json(part, info)
        if DEFAULT_TARGET in request.targets:
            pictures = job.expected.pictures
            say(f"drawing {len(pictures)} pictures with the bundle")
            found = verify.check_pictures(Bundle.open(part), pictures, job.guidance, export.arithmetic)
            measured = {"graphs": export.figures, "plans": found, "limits": verify.LIMITS}
            info["targets"][DEFAULT_TARGET]["measured"] = measured
        if job.targets:
            small.check(Bundle.open(part), info["targets"])
        # In the order of the table, so that the same targets give the same bytes.
        info["targets"] = {name: info["targets"][name] for name in TARGETS if name in info["targets"]}
        info["work"] = work_of_bundle(part, info)
        write_json(part, info)
        Bundle.open(part)
    return {name: target["measured"] for name, target in info["targets"].items()}


def network_of(checkpoint: Checkpoint) -> Network:
    """What plans must know of a checkpoint's denoiser."""
    return Network(distilled=checkpoint.guidance_range is not None, deep=checkpoint.sizes.deep_channels > 0)


def plans_named(checkpoint: Checkpoint, request: Request, say: Say) -> list[Named]:
    """The plans that were asked for, in order; where one is to be searched for, those that were found in its place."""
    network, named = network_of(checkpoint), list[Named]()
    for spec in request.plans:
        asked = quality_asked(spec)
        if asked is None:
            named.append(parsed(spec, checkpoint.schedule.count, network))
            continue
        searched = PlanSearch(
            checkpoint, network, _prompts(checkpoint, request), _guidance(checkpoint, request), asked, request.judge
        )
        named += search(searched, say)
    return named


def _guidance(checkpoint: Checkpoint, request: Request) -> float:
    return float(checkpoint.info.get("guidance", FALLBACK_GUIDANCE) if request.guidance is None else request.guidance)


def _prompts(checkpoint: Checkpoint, request: Request) -> list[str]:
    """The user's, or the checkpoint's."""
    return list(request.prompts) if request.prompts else list(checkpoint.info.get("prompts", FALLBACK_PROMPTS))


def _job(
    checkpoint: Checkpoint, part: Path, request: Request, plans: Sequence[Plan], say: Say
) -> mixed_precision.Float32Export:
    """An export into the folder `part`, nothing of it computed yet."""
    prompts = _prompts(checkpoint, request)
    # One target's one denoiser keeps its weights inside the graph; several targets or kinds of steps share theirs.
    shared = len(request.targets) > 1 or len(kinds_of(plans)) > 1
    return mixed_precision.Float32Export(
        checkpoint,
        part,
        plans,
        [TARGETS[name] for name in request.targets if TARGETS[name].compute != "float32"],
        request.batches,
        _guidance(checkpoint, request),
        WeightStore(part) if shared else None,
        reference.Expected(prompts if request.prompts else prompts[:MOST_PROMPTS]),
        say,
    )


@dataclass
class _Export:
    """One export under way: its float32 graphs, and what bundle.json says of them.

    `plans_said` is what it says of each plan beside its steps.
    """

    request: Request
    plans_said: Mapping[str, Mapping[str, object]]
    job: mixed_precision.Float32Export
    entries: dict[str, object] = field(default_factory=dict)
    figures: dict[str, verify.Figures] = field(default_factory=dict)

    @property
    def checkpoint(self) -> Checkpoint:
        return self.job.checkpoint

    @property
    def expected(self) -> reference.Expected:
        return self.job.expected

    @property
    def kinds(self) -> tuple[StepKind, ...]:
        """The kinds of steps of all plans."""
        return kinds_of(self.job.plans)

    @property
    def arithmetic(self) -> verify.Arithmetic:
        return "float32" if self.request.weights == "float32" else "float16 weights"

    def write_graphs(self) -> None:
        """Export and check the float32 graphs, network by network, and compute the pictures the bundle must draw."""
        self._denoiser(self._text())
        self._vae()

    def _text(self) -> NDArray[np.float32]:
        """Write tokenizer and text graph; returns the embeddings of "" and of the gate's prompts, (1 + N, T, W)."""
        sizes = self.checkpoint.sizes
        file = self.job.part / TOKENIZER_NAME
        padded(self.checkpoint.tokenizer, self.checkpoint.folder, sizes.tokens).save(str(file))
        self.expected.token_ids = PromptTokenizer(file, sizes.tokens).encode(
            ["", *self.expected.prompts], truncate=True
        )
        encoder, projection = self.checkpoint.text_encoder, keys_and_values(self.checkpoint.unet)
        self.expected.cases["text"] = reference.text_cases(encoder, self.checkpoint.unet, self.expected.token_ids)
        self.checkpoint.release("unet")
        texts = reference.embeddings(encoder, self.expected.token_ids)
        self._write("text", wrappers.text(encoder, projection))
        self.checkpoint.release("text_encoder")
        del encoder, projection
        self._check("text")
        return texts

    def _denoiser(self, texts: NDArray[np.float32]) -> None:
        """Write the denoise graphs; computes the last latents of every plan."""
        sizes, unet = self.checkpoint.sizes, self.checkpoint.unet
        steps = [step for plan in self.job.plans for step in plan.steps]
        self.expected.latents = reference.latents(unet, sizes, self.job.plans, texts, self.job.guidance)
        for kind in self.kinds:
            name = denoise_name(kind)
            self.expected.cases[name] = reference.denoise_cases(unet, kind, sizes, steps, texts)
            self._write(name, denoise(unet, steps, sizes, kind))
        self.checkpoint.release("unet")
        del unet
        for kind in self.kinds:
            self._check(denoise_name(kind))

    def _vae(self) -> None:
        """Write the decode and encode graphs, and the pictures of the last latents."""
        sizes, vae = self.checkpoint.sizes, self.checkpoint.vae
        graphs = self.job.graphs
        self.expected.pictures = reference.pictures(vae, self.expected.prompts, self.expected.latents)
        self.expected.cases["decode"] = reference.decode_cases(
            vae, graphs["decode"], self.expected.latents[self.job.plans[0].name][:1]
        )
        self.expected.cases["encode"] = reference.encode_cases(vae, graphs["encode"], sizes, self.expected.pictures[:1])
        self._write("decode", wrappers.decode(vae, sizes))
        self._write("encode", wrappers.encode(vae, sizes))
        self.checkpoint.release("vae")
        del vae
        self._check("decode")
        self._check("encode")

    def _write(self, name: str, wrapper: Wrapper) -> None:
        if DEFAULT_TARGET not in self.request.targets:
            return
        self.job.say(f"exporting {name}")
        graph, path = self.job.graphs[name], self.job.part / f"{name}.onnx"
        written = files.export(wrapper, graph, path, self.request.weights, store=self.job.store)
        precision = {"compute": "float32", "weights": self.request.weights}
        self.entries[name] = graph_entry(written.path.name, precision, written.weights)

    def _check(self, name: str) -> None:
        if DEFAULT_TARGET in self.request.targets:
            graph, path = self.job.graphs[name], self.job.part / f"{name}.onnx"
            self.figures[name] = verify.check_graphs(self.expected.cases[name], graph, path, self.arithmetic)
        return_memory()

    def describe(self) -> dict[str, Any]:
        """bundle.json, all but "files", the targets that compute in less than float32, and what is measured."""
        checkpoint, request = self.checkpoint, self.request
        card = checkpoint.folder / CARD_NAME
        if card.is_file():
            shutil.copyfile(card, self.job.part / CARD_NAME)
        cpu = {DEFAULT_TARGET: target_entry(TARGETS[DEFAULT_TARGET], self.entries, (), {})} if self.entries else {}
        return {
            "format": FORMAT,
            "name": request.name,
            "made_by": f"wetgen {version('wetgen')}",
            "versions": {name: version(name) for name in ("torch", "diffusers", "transformers", "onnx", "onnxruntime")},
            "classes": None if checkpoint.classes is None else checkpoint.classes.to_json(),
            "words": checkpoint.info.get("words", {}),
            "sizes": sizes_to_json(checkpoint.sizes),
            "graphs": declarations(checkpoint.sizes, kinds=self.kinds),
            "targets": cpu,
            "plans": {plan.name: plan_to_json(plan, **self.plans_said[plan.name]) for plan in self.job.plans},
            "default_plan": self.job.plans[0].name,
            "default_guidance": self.job.guidance,
            **({} if checkpoint.guidance_range is None else {"guidance_range": list(checkpoint.guidance_range)}),
            "prompts": list(checkpoint.info.get("prompts", [])),
            "trained_on": checkpoint.info.get("trained_on", []),
            "training": checkpoint.info.get("config", {}),
            "schedule": {**asdict(checkpoint.schedule), "alphas_cumprod": checkpoint.schedule.table().tolist()},
            **({} if not checkpoint.mask_statistics else {"mask_statistics": to_json(checkpoint.mask_statistics)}),
        }
