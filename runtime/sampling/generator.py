"""From prompts to image-mask pairs: the runtime's Python API.

Axes: B pairs of a batch, C h w of a latent, H W of a picture, T tokens, E text width.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property, lru_cache
from itertools import islice
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.bundle.archive import TOKENIZER_NAME
from wetgen.runtime.bundle.bundle import Bundle, check_layouts, open_bundle
from wetgen.runtime.bundle.graphs import JUDGE, Array, Plan, StepKind, denoise_name, kind_of
from wetgen.runtime.bundle.targets import DEFAULT_TARGET
from wetgen.runtime.bundle.tokenizer import PromptTokenizer
from wetgen.runtime.engines import Engine, open_engine
from wetgen.runtime.engines.device_graph import HostFed
from wetgen.runtime.engines.load import load_on_device
from wetgen.runtime.errors import WetgenError
from wetgen.runtime.masks.classes import unknown_ids
from wetgen.runtime.masks.resize import resize_mask
from wetgen.runtime.sampling.conditioning import (
    Floats,
    SampleInputs,
    SamplingParams,
    check_guidance,
    check_inputs,
    check_loading,
    check_negative,
    check_prompts,
    checked_cells,
    checked_indexes,
    layout_of,
)
from wetgen.runtime.sampling.host import HostSampler, Sampler, pad_batch
from wetgen.runtime.sampling.host import sample as sample
from wetgen.runtime.sampling.pair import Pair, mask_faults, picture_faults
from wetgen.runtime.sampling.tiled import TiledGraphs, TiledSampler, TileEngines

_EMBEDDINGS_BYTES = 64 * 2**20  # kept for prompts that come again; making one anew costs far less than a picture


class Generator:
    """A bundle loaded on a device, at a fixed batch. On a GPU it holds memory until `close`, or the end of a `with`.

    `target` is which of the bundle's targets the device runs, `batch` how many pairs are drawn at a time: what was
    asked for, or the next larger batch that engines were built for.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        device: str = "cpu",
        batch: int = 4,
        threads: int | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`say` is told what people should know about the device; `notes` keeps it."""
        check_loading(device, batch, threads)
        self.bundle, self.device, self.batch, self.threads = bundle, device, batch, threads
        self.notes: list[str] = []
        self._say = say
        self._tokenizer = PromptTokenizer(bundle.folder / TOKENIZER_NAME, bundle.sizes.tokens)
        self._drawing: list[Sampler] = []
        self.target, self._on_device = load_on_device(bundle, device, batch, self._note)
        self._denoise: dict[StepKind, Engine] = {}
        self._fed: dict[str, HostFed] = {}  # on a GPU: graphs whose arrays come from the host
        if self._on_device is None:
            self._text = self._engine("text", 1)  # one at a time, so an embedding never depends on other prompts
            self._load_denoisers(bundle.plan(None))
            self._decode = self._engine("decode", batch)
        else:
            self.batch = self._on_device.batch

    def _load_denoisers(self, plan: Plan) -> None:
        """Load what a plan's steps run on and no plan before it did."""
        for kind in plan.kinds:
            if kind not in self._denoise:
                self._denoise[kind] = self._engine(denoise_name(kind), self.batch)

    def _note(self, text: str) -> None:
        self.notes.append(text)
        self._say(text)

    def close(self) -> None:
        """Give back the memory of the GPU; pairs that are still being drawn are dropped."""
        while self._drawing:
            self._drawing.pop().close()
        judge = self.__dict__.pop("_judge", None)
        if self._on_device is not None:
            if judge is not None:
                judge.close()
            while self._fed:
                self._fed.popitem()[1].close()
            self.__dict__.pop("_embedding", None)
            self._on_device.graphs.close()
            self._on_device = None

    def __enter__(self) -> "Generator":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            with suppress(WetgenError):  # report what ended the block, not the error from cleanup
                self.close()

    @classmethod
    def open(
        cls,
        bundle: Path | str | None = None,
        *,
        device: str = "cpu",
        batch: int = 4,
        threads: int | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> "Generator":
        """Verify a bundle folder (None: the one that ships with wetgen) and load it.

        Raises WetgenError for a bundle that is damaged or a device that cannot run it here; no other device is tried.
        """
        return cls(open_bundle(bundle), device=device, batch=batch, threads=threads, say=say)

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
        layouts: Sequence[NDArray[np.uint8]] | None = None,
        size: tuple[int, int] | None = None,
    ) -> Iterator[Pair]:
        """Yield `count` pairs for every prompt, or only those of `indexes`, in that order.

        Pair `index` shows prompt `index % len(prompts)`: a larger count adds pairs and changes none. A pair depends on
        the bundle, the plan, its prompt, seed and index, guidance and negative, and on which `attempt` at it this is;
        never on the other pairs. `plan` and `guidance` None mean the bundle's defaults. With `judge` the bundle's judge
        looks at every image. `layouts` are masks of class ids uint8 (H, W) of any size, one for every prompt, that the
        pairs are to show. `size` is (width, height) of the pictures in pixels, None that of the bundle's graphs.
        Everything is checked before the first pair is made; raises WetgenError for a value that is not possible and,
        unless `truncate`, for a prompt that is too long.
        """
        check_prompts(prompts)
        check_inputs(seed, guidance, count)
        total = count * len(prompts)
        chosen = range(total) if indexes is None else checked_indexes(indexes, total)
        if attempt < 0:
            raise WetgenError(f"The attempt is {attempt}.", why="attempts count from 0.", fix="use 0 or more.")
        steps = self.bundle.plan(plan)
        scale = self.bundle.default_guidance if guidance is None else guidance
        self.check([negative, *dict.fromkeys(prompts)], steps, [scale], truncate=truncate, negative=bool(negative))
        cells = self.cells(size)
        shares = None if layouts is None else self._layouts(prompts, layouts, cells)

        def inputs(index: int) -> SampleInputs:
            i = index % len(prompts)
            layout = None if shares is None else shares[i]
            return SampleInputs(prompts[i], seed, index, scale, negative, attempt, layout, size=cells, index=index)

        return self.sample(map(inputs, chosen), steps, cells=cells, judge=judge)

    def sample(
        self,
        inputs: Iterable[SampleInputs],
        plan: Plan,
        *,
        cells: tuple[int, int] | None = None,
        judge: bool = False,
    ) -> Iterator[Pair]:
        """Yield a pair for each of the inputs, all of the size `cells`.

        A batch of inputs is taken when every pair of the last batch was yielded; on a GPU, which draws a batch while
        the last one is looked at, one batch earlier. Inputs that ran out are asked again after each batch, so that the
        caller may add some, such as pairs to be drawn again. Drawing ends when there are none and no batch is under
        way. Prompts and guidance must be ones that `check` lets pass: longer prompts are cut.
        """
        judging = self._judge if judge else None  # a bundle without one stops here
        if judge:
            self.check_judge(self.bundle.sizes.pixels(cells))
        return self._pairs(iter(inputs), plan, cells, judging)

    def check_judge(self, size: tuple[int, int] | None) -> None:
        """Raise WetgenError unless the judge can look at pictures of that size (H, W), None for any size."""
        sizes = self.bundle.sizes
        if size != (sizes.height, sizes.width):
            raise WetgenError(
                "The judge cannot look at pictures of another size.",
                why=f"its graph takes the {sizes.width} x {sizes.height} pixels of the bundle's pictures.",
                fix="leave out --keep-agreement, or --size.",
            )

    def check(
        self, texts: Iterable[str], plan: Plan, scales: Iterable[float], *, truncate: bool, negative: bool
    ) -> None:
        """Raise WetgenError for a prompt that is too long, unless `truncate`, a guidance that the denoiser does not
        know, and a `negative` prompt where the plan has no use for one."""
        if negative:
            check_negative(plan)
        for scale in scales:
            check_guidance(scale, self.bundle.guidance_range)
        self._tokenizer.encode(list(texts), truncate=truncate)

    def cells(self, size: tuple[int, int] | None) -> tuple[int, int] | None:
        """(h, w) of the latent of a picture of (width, height) pixels, None for that of the bundle's graphs.

        Raises WetgenError for a size that the graphs cannot cover.
        """
        return None if size is None else checked_cells(size, self.bundle.sizes)

    def tiled(self, plan: Plan) -> TiledGraphs:
        """What draws pairs of any size, and into pictures, with the steps of a plan; arrays stay on the host."""
        if not self._on_device:
            self._load_denoisers(plan)
        elif not self._fed:
            self._note("pictures of other sizes and photographs are drawn through the host, step by step")
        denoise = {kind: self._fed_engine(denoise_name(kind)) for kind in plan.kinds}
        return TiledGraphs(
            TileEngines(
                denoise=denoise,
                decode=self._fed_engine("decode"),
                encode=lambda: self._encoder,
                embed=self._embedding,
                sizes=self.bundle.sizes,
                batch=self.batch,
            )
        )

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
        self, inputs: Iterator[SampleInputs], plan: Plan, cells: tuple[int, int] | None, judging: Engine | None
    ) -> Iterator[Pair]:
        sampler = self._sampler(plan, cells)
        self._drawing.append(sampler)
        under_way: deque[list[SampleInputs]] = deque()
        try:
            while True:
                while len(under_way) < sampler.depth and (batch := list(islice(inputs, self.batch))):
                    under_way.append(batch)
                    sampler.submit(pad_batch(batch, self.batch))
                if not under_way:
                    return
                batch = under_way.popleft()
                outputs = sampler.collect()
                latents = outputs.pop("latent")
                if judging is not None:
                    outputs.update(_look(judging, outputs["image"]))
                for i, each in enumerate(batch):
                    yield self._pair(each, plan, latents[i], {name: array[i] for name, array in outputs.items()})
        finally:
            if sampler in self._drawing:
                self._drawing.remove(sampler)
                sampler.close()

    def _sampler(self, plan: Plan, cells: tuple[int, int] | None) -> Sampler:
        sizes = self.bundle.sizes
        if cells is not None and cells != sizes.latent[1:]:
            return TiledSampler(self.tiled(plan), plan)
        if self._on_device is None:
            self._load_denoisers(plan)
            return HostSampler(self._denoise, self._decode, self._embedding, plan, sizes)
        from wetgen.runtime.sampling.device import DeviceSampler

        graphs = self._on_device.graphs
        again = self._decode_again if DEFAULT_TARGET in self.bundle.targets else None
        return DeviceSampler(graphs, self._token_ids, plan, sizes, say=self._note, redecode=again)

    def _token_ids(self, prompt: str) -> Array:
        """(1, T) int32; `generate` has refused what may not be cut."""
        return self._tokenizer.encode([prompt], truncate=True)

    def _decode_again(self, latents: Array) -> dict[str, Array]:
        """Decode latents (B, C, h, w) on the CPU, one by one: it is rare, and memory is short on small boards."""
        path = self.bundle.targets[DEFAULT_TARGET].files["decode"]
        engine = open_engine(self.bundle.graphs["decode"], path, device="cpu", batch=1, threads=self.threads)
        parts = [engine.run({"latent": latent[None]}) for latent in latents]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    @cached_property
    def _embedding(self) -> Callable[[str], Array]:
        """A function from prompt to embedding float32 (T, E) that remembers as many as fit into a fixed memory."""
        sizes = self.bundle.sizes
        text = self._fed_engine("text")

        @lru_cache(maxsize=max(2, _EMBEDDINGS_BYTES // (4 * sizes.tokens * sizes.text_width)))
        def embed(prompt: str) -> Array:
            embedding: Array = text.run({"token_ids": self._token_ids(prompt)})["embedding"][0]
            return embedding

        return embed

    def _layouts(
        self, prompts: Sequence[str], masks: Sequence[NDArray[np.uint8]], cells: tuple[int, int] | None
    ) -> list[Floats]:
        """The layouts of masks of any size, one for every prompt."""
        sizes = self.bundle.sizes
        if len(masks) != len(prompts):
            raise WetgenError(
                f"There are {len(masks)} layouts for {len(prompts)} prompts.",
                why="each prompt has the layout at its place.",
                fix="give as many layouts as prompts, or none.",
            )
        check_layouts(self.bundle)
        table = self.bundle.classes
        assert table is not None  # check_layouts has seen to it
        for place, mask in enumerate(masks):
            fault = unknown_ids(mask, table, f"Layout {place}")
            if fault is not None:
                raise fault
        return [layout_of(resize_mask(mask, sizes.pixels(cells)), sizes) for mask in masks]

    def _pair(self, inputs: SampleInputs, plan: Plan, latent: Array, outputs: Mapping[str, Array]) -> Pair:
        # Copies, because a pair that is kept must not keep its whole batch in memory.
        image, mask, confidence = (_bytes(outputs.get(name)) for name in ("image", "mask", "confidence"))
        judged, judge_confidence = (_bytes(outputs.get(name)) for name in ("judged", "judge_confidence"))
        assert image is not None  # every decode graph declares it
        faults = picture_faults(latent, image)
        if mask is not None and self.bundle.classes is not None:
            faults += mask_faults(inputs.prompt, mask, self.bundle.classes, self.bundle.words)
        return Pair(
            inputs.index,
            inputs.prompt,
            inputs.seed,
            image,
            mask,
            confidence,
            faults,
            inputs.attempt,
            judged,
            judge_confidence,
            params=SamplingParams(plan.name, inputs.guidance, inputs.negative),
        )

    def _fed_engine(self, name: str) -> Engine:
        """The graph of that name as an engine that is fed with arrays."""
        if self._on_device is None:
            host = {"text": self._text, "decode": self._decode}
            return host[name] if name in host else self._denoise[kind_of(name)]
        if name not in self._fed:
            self._fed[name] = self._on_device.fed(name)
        return self._fed[name]

    @cached_property
    def _encoder(self) -> Engine:
        """Loaded when it is first asked: only photographs need it. It runs on the CPU, once for a photograph."""
        held = self.bundle.targets.get(DEFAULT_TARGET)
        if held is None:
            raise WetgenError(
                "This bundle cannot take photographs.",
                why=f"they are encoded on the CPU, and {self.bundle.folder} holds no graphs for {DEFAULT_TARGET}.",
                fix=f"export it again with --target {DEFAULT_TARGET} added.",
            )
        path = held.files["encode"]
        return open_engine(self.bundle.graphs["encode"], path, device="cpu", batch=self.batch, threads=self.threads)

    @cached_property
    def _judge(self) -> Engine:
        """Loaded when it is first asked: most runs have no use for it."""
        if not self.bundle.has_judge:
            raise WetgenError(
                "This bundle has no judge.",
                why=f"{self.bundle.folder} was exported without one.",
                fix="train one on real photographs and add it: wetgen judge REAL --bundle BUNDLE --out NEW",
            )
        return self._engine(JUDGE, self.batch) if self._on_device is None else self._on_device.judge()

    def _engine(self, name: str, batch: int) -> Engine:
        path = self.bundle.targets[self.target.name].files[name]
        return open_engine(self.bundle.graphs[name], path, device=self.device, batch=batch, threads=self.threads)


def _look(judge: Engine, images: Array) -> dict[str, Array]:
    """What the judge sees in a full batch of images (B, H, W, 3), under the names that a pair has for it."""
    seen = judge.run({"image": images})
    return {"judged": seen["mask"], "judge_confidence": seen["confidence"]}


def _bytes(array: Array | None) -> NDArray[np.uint8] | None:
    return None if array is None else array.astype(np.uint8, copy=True)
