"""From prompts to image-mask pairs: the runtime's Python API.

Axes: B pairs of a batch, C h w of a latent, H W of a picture, T tokens, E text width.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.bundle import SHIPPED, Bundle
from wetgen.runtime.engines import DEVICES, Engine, open_engine
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.faults import mask_faults, picture_faults
from wetgen.runtime.graphs import JUDGE, Array, graphs_of
from wetgen.runtime.noise import SEED_LIMIT, starting_noise
from wetgen.runtime.pair import Pair
from wetgen.runtime.schedule import Plan
from wetgen.runtime.tokenizer import PromptTokenizer

_EMBEDDINGS_BYTES = 64 * 2**20  # kept for prompts that come again; making one anew costs far less than a picture

Take = Callable[[int], Sequence[tuple[int, int]]]
"""Gives the next (index, try) to draw, at most as many as asked for, and none when there are none."""

_LARGEST = float(np.finfo(np.float32).max)


class Generator:
    """A bundle loaded on a device, at a fixed batch."""

    def __init__(self, bundle: Bundle, *, device: str = "cpu", batch: int = 4, threads: int | None = None) -> None:
        _check_loading(device, batch, threads)
        self.bundle, self.device, self.batch, self.threads = bundle, device, batch, threads
        self._tokenizer = PromptTokenizer(bundle.tokenizer_file, bundle.sizes.tokens)
        self._text = self._engine("text", 1)  # one prompt at a time, so an embedding never depends on other prompts
        self._denoise = self._engine("denoise", batch)
        self._decode = self._engine("decode", batch)

    @classmethod
    def open(
        cls,
        bundle: Path | str | None = None,
        *,
        device: str = "cpu",
        batch: int = 4,
        threads: int | None = None,
    ) -> "Generator":
        """Verify a bundle folder (None: the one that ships with wetgen) and load it.

        Raises WetgenError for a bundle that is damaged or a device that cannot run it here; no other device is tried.
        """
        return cls(open_bundle(bundle), device=device, batch=batch, threads=threads)

    def generate(
        self,
        prompts: Sequence[str],
        *,
        seed: int = 0,
        count: int = 1,
        plan: str | None = None,
        guidance: float | None = None,
        negative: str = "",
        truncate: bool = False,
        indexes: Iterable[int] | None = None,
        attempt: int = 0,
        judge: bool = False,
    ) -> Iterator[Pair]:
        """Yield `count` pairs for every prompt, or only those of `indexes`, in that order.

        Pair `index` shows prompt `index % len(prompts)`: a larger count adds pairs and changes none. A pair depends on
        the bundle, the plan, its prompt, seed and index, guidance and negative, and on which `attempt` at it this is;
        never on the other pairs. `plan` and `guidance` None mean the bundle's defaults. With `judge` the bundle's judge
        looks at every image. Everything is checked before the first pair is made; raises WetgenError for a value that
        is not possible and, unless `truncate`, for a prompt that is too long.
        """
        check_asked(prompts, seed, count, guidance)
        total = count * len(prompts)
        wanted = iter(range(total) if indexes is None else _checked_indexes(indexes, total))
        if attempt < 0:
            raise WetgenError(f"The attempt is {attempt}.", why="attempts count from 0.", fix="use 0 or more.")
        return self.draw(
            prompts,
            lambda most: [(index, attempt) for index in islice(wanted, most)],
            seed=seed,
            plan=plan,
            guidance=guidance,
            negative=negative,
            truncate=truncate,
            judge=judge,
        )

    def draw(
        self,
        prompts: Sequence[str],
        take: Take,
        *,
        seed: int = 0,
        plan: str | None = None,
        guidance: float | None = None,
        negative: str = "",
        truncate: bool = False,
        judge: bool = False,
    ) -> Iterator[Pair]:
        """Yield the pairs that `take` names, as `generate` makes them.

        `take` is asked for the next batch when every pair of the last one was taken, so what it names may depend on
        the pairs before; drawing ends when it names none. Everything else is checked before the first pair is made.
        """
        check_asked(prompts, seed, 1, guidance)
        steps = self.bundle.plan(plan)
        scale = self.bundle.default_guidance if guidance is None else guidance
        self._tokenizer.encode([negative, *dict.fromkeys(prompts)], truncate=truncate)  # a prompt too long stops here
        judging = self._judge if judge else None  # a bundle without one stops here
        return self._pairs(prompts, take, seed, steps, scale, negative, judging)

    def judge(self, images: NDArray[np.uint8]) -> dict[str, Array]:
        """What the bundle's judge sees in images uint8 (N, H, W, 3): `judged` and `judge_confidence`, uint8 (N, H, W).

        Raises WetgenError when the bundle has no judge.
        """
        sizes = self.bundle.sizes
        none = np.zeros((0, sizes.height, sizes.width), np.uint8)
        parts: list[dict[str, Array]] = [{"judged": none, "judge_confidence": none}]
        for start in range(0, len(images), self.batch):
            part = images[start : start + self.batch]
            seen = _look(self._judge, np.concatenate([part, *[part[:1]] * (self.batch - len(part))]))
            parts.append({name: array[: len(part)] for name, array in seen.items()})
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _pairs(
        self,
        prompts: Sequence[str],
        take: Take,
        seed: int,
        plan: Plan,
        guidance: float,
        negative: str,
        judging: Engine | None,
    ) -> Iterator[Pair]:
        embed = self._embedder()
        while wanted := list(take(self.batch)):
            # A last batch that is not full repeats its first pair, so that every batch runs the same arithmetic.
            filled = wanted + wanted[:1] * (self.batch - len(wanted))
            texts = [prompts[index % len(prompts)] for index, _ in filled]
            size = self.bundle.sizes.latent
            noises = [starting_noise(seed, index, size, attempt) for index, attempt in filled]
            noise: Array = np.stack(noises)  # (B, C, h, w)
            embedding = np.stack([*[embed(negative)] * self.batch, *map(embed, texts)])  # (2B, T, E): uncond, cond
            *_, latent = sample(self._denoise, plan, noise, embedding, guidance, self._conditioning())
            made = self._decode.run({"latent": latent})
            if judging is not None:
                made.update(_look(judging, made["image"]))
            for place, (index, attempt) in enumerate(wanted):
                shown = {name: array[place] for name, array in made.items()}
                yield self._pair(index, attempt, texts[place], seed, latent[place], shown)

    def _embedder(self) -> Callable[[str], Array]:
        """A function from prompt to embedding float32 (T, E) that remembers as many as fit into a fixed memory."""
        sizes = self.bundle.sizes

        @lru_cache(maxsize=max(2, _EMBEDDINGS_BYTES // (4 * sizes.tokens * sizes.text_width)))
        def embed(prompt: str) -> Array:
            token_ids = self._tokenizer.encode([prompt], truncate=True)  # `generate` has refused what may not be cut
            embedding: Array = self._text.run({"token_ids": token_ids})["embedding"][0]
            return embedding

        return embed

    def _conditioning(self) -> dict[str, Array]:
        """The conditioning input, if the graph has one: zeros, which mean that everything is free."""
        declared = graphs_of(self.bundle.sizes)["denoise"].inputs
        return {t.name: np.zeros(t.sizes(self.batch), t.dtype) for t in declared if t.name == "conditioning"}

    def _pair(
        self, index: int, attempt: int, prompt: str, seed: int, latent: Array, shown: Mapping[str, Array]
    ) -> Pair:
        # Copies, because a pair that is kept must not keep its whole batch in memory.
        image, mask, confidence = (_bytes(shown.get(name)) for name in ("image", "mask", "confidence"))
        judged, sure = (_bytes(shown.get(name)) for name in ("judged", "judge_confidence"))
        assert image is not None  # every decode graph declares it
        faults = picture_faults(latent, image)
        if mask is not None and self.bundle.classes is not None:
            faults += mask_faults(prompt, mask, self.bundle.classes, self.bundle.words)
        return Pair(index, prompt, seed, image, mask, confidence, faults, attempt, judged, sure)

    @cached_property
    def _judge(self) -> Engine:
        """Loaded when it is first asked: most runs have no use for it."""
        if not self.bundle.has_judge:
            raise WetgenError(
                "This bundle has no judge.",
                why=f"{self.bundle.folder} was exported without one.",
                fix="train one on real photographs and add it: wetgen judge REAL --bundle BUNDLE --out NEW",
            )
        return self._engine(JUDGE, self.batch)

    def _engine(self, name: str, batch: int) -> Engine:
        path = self.bundle.graph_files[name]
        return open_engine(self.bundle.graphs[name], path, device=self.device, batch=batch, threads=self.threads)


def sample(
    denoise: Engine,
    plan: Plan,
    noise: Array,
    embedding: Array,
    guidance: float,
    conditioning: Mapping[str, Array],
) -> Iterator[Array]:
    """Walk the plan from noise (B, C, h, w), yielding the latent after each step.

    `embedding` is (2B, T, E), the uncond half first; `conditioning` holds that input, or nothing if the graph has none.
    """
    latent = noise
    scale = np.full(len(noise), guidance, np.float32)  # (B,)
    for row in plan.rows:
        step = np.array([row], np.int32)
        feed = {"latent": latent, "embedding": embedding, **conditioning, "step": step, "guidance": scale}
        latent = denoise.run(feed)["latent_after"]
        yield latent


def _look(judge: Engine, images: Array) -> dict[str, Array]:
    """What the judge sees in a full batch of images (B, H, W, 3), under the names that a pair has for it."""
    seen = judge.run({"image": images})
    return {"judged": seen["mask"], "judge_confidence": seen["confidence"]}


def open_bundle(folder: Path | str | None) -> Bundle:
    """The verified bundle in a folder; None means the one inside the package."""
    if folder is None and not SHIPPED.is_dir():
        raise WetgenError(
            "This installation of wetgen carries no bundle.",
            why=f"{SHIPPED} is not there.",
            fix="give a folder that wetgen-export wrote with --bundle, or install a released wheel.",
        )
    return Bundle.open(SHIPPED if folder is None else Path(folder))


def _bytes(array: Array | None) -> NDArray[np.uint8] | None:
    return None if array is None else array.astype(np.uint8, copy=True)


def _check_loading(device: str, batch: int, threads: int | None) -> None:
    if device not in DEVICES:
        raise WetgenError(
            f"There is no device '{device}'.", why=f"devices are {', '.join(DEVICES)}.", fix="choose one."
        )
    for name, value in (("batch", batch), ("threads", threads)):
        if value is not None and value < 1:
            raise WetgenError(f"{name} is {value}.", why="it must be at least 1.", fix=f"use {name} 1 or more.")


def check_asked(prompts: Sequence[str], seed: int, count: int, guidance: float | None) -> None:
    """Raise WetgenError for values that no bundle can generate from."""
    if isinstance(prompts, str):
        raise TypeError("prompts is a list of prompts, not one string")
    if not prompts:
        raise WetgenError("There are no prompts.", why="the list is empty.", fix="give at least one prompt.")
    if count < 1:
        raise WetgenError(f"The count is {count}.", why="it is the number of pairs per prompt.", fix="use 1 or more.")
    if not 0 <= seed < SEED_LIMIT:
        raise WetgenError(f"The seed is {seed}.", why="seeds run from 0 to 2^63 - 1.", fix="use a seed in that range.")
    if guidance is not None and not abs(guidance) <= _LARGEST:  # false for NaN too
        raise WetgenError(
            f"The guidance is {guidance}.",
            why="it scales the difference that the prompt makes, so it must be a finite number.",
            fix="use a number such as 3; 1 is the prompt alone, 0 ignores the prompt.",
        )


def _checked_indexes(indexes: Iterable[int], total: int) -> list[int]:
    wanted = list(indexes)
    wrong = [index for index in wanted if not 0 <= index < total]
    if wrong:
        raise WetgenError(
            f"There is no pair {wrong[0]}.",
            why=f"prompts times count make {total} pairs, 0 to {total - 1}.",
            fix="ask for indexes in that range, or raise count.",
        )
    return wanted
