"""A checkpoint to a bundle: plans, graphs for every target, the gate, bundle.json; under its name only when all holds.

One network is in memory at a time, so that a Stable-Diffusion-sized checkpoint fits into a workstation.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
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
from wetgen.export.search.search import Job, search, wanted_quality
from wetgen.export.tokens import padded
from wetgen.export.work import work_of_bundle
from wetgen.runtime.bundle.bundle import FORMAT, TOKENIZER_NAME, Bundle, declarations, plan_to_json, sizes_to_json
from wetgen.runtime.bundle.graphs import Graph, denoise_name, graphs_of
from wetgen.runtime.bundle.manifest import graph_entry, target_entry
from wetgen.runtime.bundle.schedule import Plan, StepKind, kinds_of
from wetgen.runtime.bundle.targets import DEFAULT_BATCHES, DEFAULT_TARGET, TARGETS, Target
from wetgen.runtime.bundle.tokenizer import PromptTokenizer
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.masks.statistics import to_json
from wetgen.runtime.sampling.conditioning import check_guidance
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
        export = _Export(checkpoint, part, request, plans, {one.name: one.said for one in named}, say)
        check_guidance(export.guidance, checkpoint.guidance_range)
        export.write_graphs()
        info = export.describe()
        if export.narrow:
            small = mixed_precision.export(export.job())
            info["targets"].update(small.entries)
        write_json(part, info)
        if DEFAULT_TARGET in request.targets:
            say(f"drawing {len(export.pictures)} pictures with the bundle")
            found = verify.check_pictures(Bundle.open(part), export.pictures, export.guidance, export.arithmetic)
            measured = {"graphs": export.figures, "plans": found, "limits": verify.LIMITS}
            info["targets"][DEFAULT_TARGET]["measured"] = measured
        if export.narrow:
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
        wish = wanted_quality(spec)
        if wish is None:
            named.append(parsed(spec, checkpoint.schedule.count, network))
            continue
        job = Job(
            checkpoint, network, _prompts(checkpoint, request), _guidance(checkpoint, request), wish, request.judge
        )
        named += search(job, say)
    return named


def _guidance(checkpoint: Checkpoint, request: Request) -> float:
    return float(checkpoint.info.get("guidance", FALLBACK_GUIDANCE) if request.guidance is None else request.guidance)


def _prompts(checkpoint: Checkpoint, request: Request) -> list[str]:
    """The user's, or the checkpoint's."""
    return list(request.prompts) if request.prompts else list(checkpoint.info.get("prompts", FALLBACK_PROMPTS))


@dataclass
class _Export:
    """One export under way in the folder `part`."""

    checkpoint: Checkpoint
    part: Path
    request: Request
    plans: list[Plan]
    said: Mapping[str, Mapping[str, object]]  # of each plan, for bundle.json
    say: Say
    store: WeightStore | None = None
    entries: dict[str, object] = field(default_factory=dict)
    cases: dict[str, Sequence[reference.Case]] = field(default_factory=dict)
    figures: dict[str, verify.Figures] = field(default_factory=dict)
    pictures: list[reference.Picture] = field(default_factory=list)
    token_ids: NDArray[np.int32] = field(default_factory=lambda: np.zeros((0, 0), np.int32))
    texts: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0, 0), np.float32))
    last: dict[str, list[NDArray[np.float32]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # One target's one denoiser keeps its weights inside the graph; several targets or kinds of steps share theirs.
        if len(self.request.targets) > 1 or len(self.kinds) > 1:
            self.store = WeightStore(self.part)

    @property
    def kinds(self) -> tuple[StepKind, ...]:
        """The kinds of steps of all plans."""
        return kinds_of(self.plans)

    @property
    def graphs(self) -> dict[str, Graph]:
        return graphs_of(self.checkpoint.sizes, kinds=self.kinds)

    @property
    def narrow(self) -> list[Target]:
        """The targets that compute in less than float32."""
        return [TARGETS[name] for name in self.request.targets if TARGETS[name].compute != "float32"]

    @property
    def arithmetic(self) -> verify.Arithmetic:
        return "float32" if self.request.weights == "float32" else "float16 weights"

    @property
    def guidance(self) -> float:
        return _guidance(self.checkpoint, self.request)

    @property
    def prompts(self) -> list[str]:
        """The prompts the gate draws: the user's, or some of the checkpoint's."""
        listed = _prompts(self.checkpoint, self.request)
        return listed if self.request.prompts else listed[:MOST_PROMPTS]

    def job(self) -> mixed_precision.Job:
        """What exporting to the targets in `narrow` needs of all this."""
        return mixed_precision.Job(
            self.checkpoint,
            self.part,
            self.plans,
            self.narrow,
            self.request.batches,
            self.guidance,
            self.store,
            self.cases,
            self.pictures,
            self.token_ids,
            self.last,
            self.say,
        )

    def write_graphs(self) -> None:
        """Export and check the float32 graphs, network by network, and compute the pictures the bundle must draw."""
        self._text()
        self._denoiser()
        self._vae()

    def _text(self) -> None:
        """Write tokenizer and text graph; computes the embeddings of "" and of the gate's prompts, (1 + N, T, W)."""
        sizes = self.checkpoint.sizes
        file = self.part / TOKENIZER_NAME
        padded(self.checkpoint.tokenizer, self.checkpoint.folder, sizes.tokens).save(str(file))
        self.token_ids = PromptTokenizer(file, sizes.tokens).encode(["", *self.prompts], truncate=True)
        encoder, projection = self.checkpoint.text_encoder, keys_and_values(self.checkpoint.unet)
        self.cases["text"] = reference.text_cases(encoder, self.checkpoint.unet, self.token_ids)
        self.checkpoint.release("unet")
        self.texts = reference.embeddings(encoder, self.token_ids)
        self._write("text", wrappers.text(encoder, projection))
        self.checkpoint.release("text_encoder")
        del encoder, projection
        self._check("text")

    def _denoiser(self) -> None:
        """Write the denoise graphs; computes the last latents of every plan."""
        sizes, unet = self.checkpoint.sizes, self.checkpoint.unet
        steps = [step for plan in self.plans for step in plan.steps]
        self.last = reference.latents(unet, sizes, self.plans, self.texts, self.guidance)
        for kind in self.kinds:
            name = denoise_name(kind)
            self.cases[name] = reference.denoise_cases(unet, kind, sizes, steps, self.texts)
            self._write(name, denoise(unet, steps, sizes, kind))
        self.checkpoint.release("unet")
        del unet
        for kind in self.kinds:
            self._check(denoise_name(kind))

    def _vae(self) -> None:
        """Write the decode and encode graphs, and the pictures of the last latents."""
        sizes, vae = self.checkpoint.sizes, self.checkpoint.vae
        graphs = self.graphs
        self.pictures = reference.pictures(vae, self.prompts, self.last)
        self.cases["decode"] = reference.decode_cases(vae, graphs["decode"], self.last[self.plans[0].name][:1])
        self.cases["encode"] = reference.encode_cases(vae, graphs["encode"], sizes, self.pictures[:1])
        self._write("decode", wrappers.decode(vae, sizes))
        self._write("encode", wrappers.encode(vae, sizes))
        self.checkpoint.release("vae")
        del vae
        self._check("decode")
        self._check("encode")

    def _write(self, name: str, wrapper: Wrapper) -> None:
        if DEFAULT_TARGET not in self.request.targets:
            return
        self.say(f"exporting {name}")
        graph, path = self.graphs[name], self.part / f"{name}.onnx"
        written = files.export(wrapper, graph, path, self.request.weights, store=self.store)
        precision = {"compute": "float32", "weights": self.request.weights}
        self.entries[name] = graph_entry(written.path.name, precision, written.weights)

    def _check(self, name: str) -> None:
        if DEFAULT_TARGET in self.request.targets:
            graph, path = self.graphs[name], self.part / f"{name}.onnx"
            self.figures[name] = verify.check_graphs(self.cases[name], graph, path, self.arithmetic)
        return_memory()

    def describe(self) -> dict[str, Any]:
        """bundle.json, all but "files", the targets in `narrow`, and what is measured."""
        checkpoint, request = self.checkpoint, self.request
        card = checkpoint.folder / CARD_NAME
        if card.is_file():
            shutil.copyfile(card, self.part / CARD_NAME)
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
            "plans": {plan.name: plan_to_json(plan, **self.said[plan.name]) for plan in self.plans},
            "default_plan": self.plans[0].name,
            "default_guidance": self.guidance,
            **({} if checkpoint.guidance_range is None else {"guidance_range": list(checkpoint.guidance_range)}),
            "prompts": list(checkpoint.info.get("prompts", [])),
            "trained_on": checkpoint.info.get("trained_on", []),
            "training": checkpoint.info.get("config", {}),
            "schedule": {**asdict(checkpoint.schedule), "alphas_cumprod": checkpoint.schedule.table().tolist()},
            **({} if not checkpoint.mask_statistics else {"mask_statistics": to_json(checkpoint.mask_statistics)}),
        }
