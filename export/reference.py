"""What every graph and every plan should give, computed by torch in float32 with the checkpoint's own networks.

Nothing here goes through the wrappers: what they get wrong must not be wrong here in the same way.

Axes: B pairs, C latent channels, h w latent size, H W image size, T tokens, W width of the text
encoder, E width of all that attention sees of a prompt, Cc conditioning channels.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from wetgen.runtime.bundle.graphs import (
    DEEP,
    LATENT,
    Array,
    Graph,
    Plan,
    Sizes,
    Step,
    StepKind,
    Tensor,
    advance,
    denoise_graph,
    walk,
)
from wetgen.runtime.sampling.sampler import starting_noise
from wetgen.training.sample import free_conditioning, guided
from wetgen.training.student import distilled, sinusoids_of

BATCHES = (1, 3)
LARGEST_AREA = 32 * 32  # of a latent that is checked in batches; attention's memory grows with the square of the area
SEED = 0  # of the trajectories: pair i shows prompt i from starting_noise(SEED, i)


@dataclass(frozen=True)
class Case:
    """A graph's inputs and what torch makes of them, by name."""

    graph: str
    batch: int
    feed: dict[str, Array]
    expected: dict[str, Array]


@dataclass(frozen=True)
class Picture:
    """What one prompt of one plan should give; `mask` is None for a generator without masks."""

    plan: str
    prompt: str
    image: NDArray[np.uint8]  # (H, W, 3)
    mask: NDArray[np.uint8] | None  # (H, W)


@dataclass
class Expected:
    """What the checkpoint's networks give, computed by torch: an export is compared with it.

    `token_ids` int32 (1 + N, T) are those of the empty prompt and of the N `prompts`. `cases` are by graph. `latents`
    are by plan: the last one (C, h, w) of every prompt. `pictures` are those of all plans.
    """

    prompts: Sequence[str]
    token_ids: NDArray[np.int32] = field(default_factory=lambda: np.zeros((0, 0), np.int32))
    cases: dict[str, Sequence[Case]] = field(default_factory=dict)
    latents: dict[str, list[NDArray[np.float32]]] = field(default_factory=dict)
    pictures: list[Picture] = field(default_factory=list)


def batches(height: int, width: int) -> tuple[int, ...]:
    """The batches that graphs of latents of this size are checked at: 1 alone where 3 takes many gigabytes."""
    return BATCHES if height * width <= LARGEST_AREA else BATCHES[:1]


@torch.no_grad()
def text_cases(encoder: Any, unet: Any, ids: NDArray[np.int32]) -> list[Case]:
    """Random token ids, and those of real prompts (N, T), one at a time as the runtime encodes them."""
    rng = np.random.default_rng(1)
    random = [rng.integers(0, encoder.config.vocab_size, (b, ids.shape[1])).astype(np.int32) for b in BATCHES]
    rows = [*random, *(row[None] for row in ids)]
    expected = [attended(unet, embeddings(encoder, row)) for row in rows]
    return [Case("text", len(row), {"token_ids": row}, {"embedding": e}) for row, e in zip(rows, expected, strict=True)]


@torch.no_grad()
def embeddings(encoder: Any, ids: NDArray[np.int32]) -> NDArray[np.float32]:
    """Token ids (B, T) to the text encoder's embeddings (B, T, W), one prompt at a time."""
    rows = [encoder(torch.from_numpy(row[None]).long()).last_hidden_state[0].numpy() for row in ids]
    return np.stack(rows).astype(np.float32)


@torch.no_grad()
def attended(unet: Any, texts: NDArray[np.float32]) -> NDArray[np.float32]:
    """What graphs are given of texts (N, T, W): the keys and values (N, T, E) of one attention after the other."""
    text = torch.from_numpy(texts)
    layers = [layer for name, layer in unet.named_modules() if name.endswith(".attn2")]
    return torch.cat([part for layer in layers for part in (layer.to_k(text), layer.to_v(text))], dim=2).numpy()


@torch.no_grad()
def denoise_cases(
    unet: Any, kind: StepKind, sizes: Sizes, steps: Sequence[Step], texts: NDArray[np.float32]
) -> list[Case]:
    """Steps of a kind, at the ends and in the middle of the tables, from random and from real texts (N, T, W).

    Every other case has a full conditioning tensor; guidance differs between the pairs of a batch.
    """
    rng = np.random.default_rng(2)
    graph = denoise_graph(sizes, kind)
    of_kind = [row for row, step in enumerate(steps) if step.kind == kind]
    rows = sorted({of_kind[0], of_kind[len(of_kind) // 2], of_kind[-1]})
    cases = []
    for number, (row, batch) in enumerate((row, batch) for row in rows for batch in batches(*sizes.latent[1:])):
        feed: dict[str, Array] = {t.name: _random(t, batch, rng) for t in graph.inputs if t.dtype == "float32"}
        feed["step"] = np.array([row], np.int32)
        feed["guidance"] = rng.uniform(0.0, 9.0, batch).astype(np.float32)
        seen = rng.standard_normal((len(feed["embedding"]), *texts.shape[1:])).astype(np.float32)
        if number % 2:
            seen = texts[rng.integers(0, len(texts), len(seen))]
        feed["embedding"] = attended(unet, seen)
        if "conditioning" in feed:
            feed["conditioning"] = _conditioning(sizes, batch, rng) * np.float32(number % 2)
        cases.append(Case(graph.name, batch, feed, _denoised(unet, steps[row], feed, seen)))
    return cases


def _random(tensor: Tensor, batch: int, rng: np.random.Generator) -> NDArray[np.float32]:
    return rng.standard_normal(tensor.sizes(batch)).astype(np.float32)


def _conditioning(sizes: Sizes, batch: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """A class layout in stripes and a known latent on one side (B, Cc, h, w); random numbers where Cc is not ours."""
    channels, height, width = sizes.conditioning_channels, sizes.latent_height, sizes.latent_width
    if channels != sizes.classes + sizes.latent_channels + 1:
        return rng.standard_normal((batch, channels, height, width)).astype(np.float32)
    stripes = (np.arange(height)[:, None] + np.arange(width)) // 3 % sizes.classes  # (h, w)
    layout = np.broadcast_to(np.eye(sizes.classes)[stripes].transpose(2, 0, 1), (batch, sizes.classes, height, width))
    known = np.broadcast_to((np.arange(width) < width // 2).astype(np.float32), (batch, 1, height, width))
    latent = rng.standard_normal((batch, *sizes.latent)) * known
    return np.concatenate([layout, latent, known], axis=1).astype(np.float32)


def _denoised(unet: Any, step: Step, feed: dict[str, Array], seen: NDArray[np.float32]) -> dict[str, Array]:
    """A step in torch from texts (B or 2B, T, W), pair by pair: the sampler's guidance takes one scale for a batch."""
    batch = len(feed[LATENT])
    pairs = []
    for pair in range(batch):
        rows = [pair, batch + pair] if step.guided else [pair]  # of the pair in a batch of two halves
        texts = [torch.from_numpy(seen[row : row + 1]) for row in rows]
        extra = torch.from_numpy(feed["conditioning"][pair : pair + 1]) if "conditioning" in feed else None
        own = {name: feed[name][rows if len(feed[name]) > batch else [pair]] for name in step.kind.takes}
        given = {name: torch.from_numpy(array) for name, array in own.items()}
        pairs.append(step_of(unet, step, given, texts[0], texts[-1], float(feed["guidance"][pair]), extra))
    # (1 or 2, ...) of every pair: its row in each half, and a batch has the halves one after the other.
    arrays = {name: np.stack([made[name].numpy() for made in pairs], axis=1) for name in step.kind.gives}
    return {name: array.reshape(-1, *array.shape[2:]) for name, array in arrays.items()}


def step_of(
    unet: Any,
    step: Step,
    given: Mapping[str, torch.Tensor],
    uncond: torch.Tensor,
    cond: torch.Tensor,
    scale: float,
    extra: torch.Tensor | None,
) -> dict[str, torch.Tensor]:
    """What a step gives of what it takes, for embeddings (B, T, W) and the conditioning (B, Cc, h, w), if any."""
    with deep_features(unet, given.get(DEEP)) as entered:
        prediction = predicted(unet, given[LATENT], step, uncond, cond, scale, extra)
    return {**advance(step, given, prediction), DEEP: entered[0]}


def predicted(
    unet: Any, x: torch.Tensor, step: Step, uncond: torch.Tensor, cond: torch.Tensor, scale: float, extra: Any
) -> torch.Tensor:
    """What a step predicts for x (B, C, h, w), guided or not."""
    given = x if extra is None else torch.cat([x, extra], 1)
    if step.guided:
        said = guided(unet, x, step.timestep, uncond, cond, scale, extra)
    elif sinusoids_of(unet) is not None:
        said = distilled(unet, x, step.timestep, cond, scale, extra)
    else:
        said = unet(given, step.timestep, cond).sample
    return cast(torch.Tensor, said)


@contextmanager
def deep_features(unet: Any, given: torch.Tensor | None) -> Iterator[list[torch.Tensor]]:
    """Collects what enters the last block upwards while the network runs, and puts `given` in its place.

    All of the network is computed all the same, so that nothing of how graphs leave parts out is in here.
    """
    entered: list[torch.Tensor] = []

    def hook(block: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        entered.append(kwargs["hidden_states"])
        return args, kwargs if given is None else {**kwargs, "hidden_states": given}

    handle = unet.up_blocks[-1].register_forward_pre_hook(hook, with_kwargs=True)
    try:
        yield entered
    finally:
        handle.remove()


@torch.no_grad()
def trajectory(
    unet: Any,
    noise: torch.Tensor,
    uncond: torch.Tensor,
    cond: torch.Tensor,
    steps: Sequence[Step],
    scale: float,
    extra: torch.Tensor | None = None,
) -> Iterator[torch.Tensor]:
    """Yield the latent (B, C, h, w) after every step, of whatever kind.

    `uncond` and `cond` are embeddings (B, T, W), `extra` the conditioning (B, Cc, h, w) where the network takes one.
    """
    yield from walk(steps, noise, lambda _, step, given: step_of(unet, step, given, uncond, cond, scale, extra))


@torch.no_grad()
def latents(
    unet: Any, sizes: Sizes, plans: Sequence[Plan], texts: NDArray[np.float32], guidance: float
) -> dict[str, list[NDArray[np.float32]]]:
    """Per plan, the last latent (C, h, w) of every prompt; `texts` (1 + N, T, W) begins with the empty prompt."""
    prompts = range(len(texts) - 1)
    return {plan.name: [_last(unet, sizes, plan, texts, index, guidance) for index in prompts] for plan in plans}


def _last(
    unet: Any, sizes: Sizes, plan: Plan, texts: NDArray[np.float32], index: int, guidance: float
) -> NDArray[np.float32]:
    noise = torch.from_numpy(starting_noise(SEED, index, sizes.latent)[None])
    uncond, cond = torch.from_numpy(texts[:1]), torch.from_numpy(texts[index + 1 : index + 2])
    *_, latent = trajectory(unet, noise, uncond, cond, plan.steps, guidance, free_conditioning(unet, noise))
    return np.asarray(latent[0].numpy(), np.float32)


@torch.no_grad()
def decode_cases(vae: Any, graph: Graph, real: Sequence[NDArray[np.float32]]) -> list[Case]:
    """Random latents and real ones (C, h, w)."""
    rng = np.random.default_rng(3)
    feeds = [
        *(_random(graph.inputs[0], batch, rng) for batch in batches(*map(int, graph.inputs[0].shape[2:]))),
        *(latent[None] for latent in real),
    ]
    cases = []
    for latent in feeds:
        image, mask, confidence = decoded(vae, latent)
        pair = {} if mask is None or confidence is None else {"mask": mask, "confidence": confidence}
        cases.append(Case("decode", len(latent), {"latent": latent}, {"image": image, **pair}))
    return cases


@torch.no_grad()
def decoded(
    vae: Any, latent: NDArray[np.float32]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None, NDArray[np.uint8] | None]:
    """Latent (B, C, h, w) to picture (B, H, W, 3), mask and confidence in 255ths (B, H, W); None without masks."""
    image, logits = vae.decode(torch.from_numpy(latent))
    bytes_ = np.clip(np.rint((image.numpy().transpose(0, 2, 3, 1) + 1) * 127.5), 0, 255).astype(np.uint8)
    if logits is None:
        return bytes_, None, None
    shares = torch.softmax(logits, 1).numpy()  # (B, K, H, W)
    return bytes_, shares.argmax(1).astype(np.uint8), np.rint(shares.max(1) * 255).astype(np.uint8)


@torch.no_grad()
def encode_cases(vae: Any, graph: Graph, sizes: Sizes, real: Sequence[Picture]) -> list[Case]:
    """Random bytes and generated pictures."""
    rng = np.random.default_rng(4)
    limits = {"image": 256, "mask": sizes.classes}
    feeds: list[dict[str, Array]] = [
        {t.name: rng.integers(0, limits[t.name], t.sizes(batch)).astype(np.uint8) for t in graph.inputs}
        for batch in batches(*sizes.latent[1:])
    ]
    for picture in real:
        mask = {} if picture.mask is None else {"mask": picture.mask[None]}
        feeds.append({"image": picture.image[None], **mask})
    return [Case("encode", len(feed["image"]), feed, {"latent": _encoded(vae, feed)}) for feed in feeds]


def _encoded(vae: Any, feed: dict[str, Array]) -> NDArray[np.float32]:
    pixels = feed["image"].astype(np.float32).transpose(0, 3, 1, 2) / 127.5 - 1
    mask = torch.from_numpy(feed["mask"].astype(np.int64)) if "mask" in feed else None
    return np.asarray(vae.encode(torch.from_numpy(np.ascontiguousarray(pixels)), mask).numpy(), np.float32)


def pictures(vae: Any, prompts: Sequence[str], found: dict[str, list[NDArray[np.float32]]]) -> list[Picture]:
    """The pictures of all plans' last latents."""
    made = []
    for plan, last in found.items():
        for prompt, latent in zip(prompts, last, strict=True):
            image, mask, _ = decoded(vae, latent[None])
            made.append(Picture(plan, prompt, image[0], None if mask is None else mask[0]))
    return made
