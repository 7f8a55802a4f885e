"""From prompts to image-mask pairs: the runtime's Python API, and the checks of what may be asked of it."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.bundle.archive import TOKENIZER_NAME
from wetgen.runtime.bundle.bundle import Bundle, check_layouts, open_bundle
from wetgen.runtime.bundle.graphs import JUDGE, Array, Plan, Sizes, denoise_name
from wetgen.runtime.bundle.targets import DEFAULT_TARGET, DEVICES
from wetgen.runtime.bundle.tokenizer import PromptTokenizer
from wetgen.runtime.engines.device_graph import HostFed
from wetgen.runtime.engines.load import load_on_device
from wetgen.runtime.engines.ort import Engine, open_engine
from wetgen.runtime.errors import Say, WetgenError
from wetgen.runtime.masks.classes import unknown_ids
from wetgen.runtime.masks.resize import resize_mask
from wetgen.runtime.prompts.lines import SEED_LIMIT
from wetgen.runtime.sampling.sampler import (
    Floats,
    HostEngines,
    HostSampler,
    Pair,
    SampleInputs,
    Sampler,
    SamplingParams,
    TextEncoder,
    layout_of,
    make_pair,
    pad_batch,
)
from wetgen.runtime.sampling.tiled import TiledGraphs, TiledSampler

if TYPE_CHECKING:
    from wetgen.runtime.sampling.device import DeviceSampler

MOST_PIXELS = 2**24  # of a drawn picture: beyond, its windows and their latents fill the memory
_LARGEST = float(np.finfo(np.float32).max)


class Generator(AbstractContextManager["Generator"]):
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
        say: Say = lambda _: None,
    ) -> None:
        """`say` is told what people should know about the device; `notes` keeps it."""
        _check_loading(device, batch, threads)
        self.bundle, self.device, self.batch, self.threads = bundle, device, batch, threads
        self.notes: list[str] = []
        self._say = say
        self._drawing: list[DeviceSampler] = []  # whose buffers are to be given back
        self._engines: dict[str, Engine] = {}  # by graph; all are fed with arrays
        self._tokenizer = PromptTokenizer(bundle.folder / TOKENIZER_NAME, bundle.sizes.tokens)
        self._text = TextEncoder(self._tokenizer, lambda: self._engine("text"), bundle.sizes)
        self.target, self._on_device = load_on_device(bundle, device, batch, self._note)
        if self._on_device is not None:
            self.batch = self._on_device.batch
        else:  # what cannot be loaded is said here, not by the first pair
            self._engine("text")
            self._on_host(bundle.plan(None))

    @classmethod
    def open(
        cls,
        bundle: Path | str | None = None,
        *,
        device: str = "cpu",
        batch: int = 4,
        threads: int | None = None,
        say: Say = lambda _: None,
    ) -> "Generator":
        """Verify a bundle folder (None: the one that ships with wetgen) and load it.

        Raises WetgenError for a bundle that is damaged or a device that cannot run it here; no other device is tried.
        """
        return cls(open_bundle(bundle), device=device, batch=batch, threads=threads, say=say)

    def close(self) -> None:
        """Give back the memory of the GPU; pairs that are still being drawn are dropped."""
        while self._drawing:
            self._drawing.pop().close()
        if self._on_device is not None:
            while self._engines:
                engine = self._engines.popitem()[1]
                if isinstance(engine, HostFed):
                    engine.close()
            self._on_device.graphs.close()
            self._on_device = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            with suppress(WetgenError):  # report what ended the block, not the error from cleanup
                self.close()

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
        if isinstance(prompts, str):
            raise TypeError("prompts is a list of prompts, not one string")
        if not prompts:
            raise WetgenError("There are no prompts.", why="the list is empty.", fix="give at least one prompt.")
        if attempt < 0:
            raise WetgenError(f"The attempt is {attempt}.", why="attempts count from 0.", fix="use 0 or more.")
        check_inputs(seed, guidance, count)
        total = count * len(prompts)
        chosen = range(total) if indexes is None else _checked_indexes(indexes, total)
        steps = self.bundle.plan(plan)
        scale = self.bundle.default_guidance if guidance is None else guidance
        params = SamplingParams(steps.name, scale, negative)
        self.check(params, dict.fromkeys(prompts), truncate=truncate)
        cells = checked_cells(size, self.bundle.sizes)
        shares = None if layouts is None else self._layouts(prompts, layouts, cells)

        def inputs(index: int) -> SampleInputs:
            i = index % len(prompts)
            layout = None if shares is None else shares[i]
            return SampleInputs(prompts[i], seed, index, params, attempt, layout, size=cells, index=index)

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
        way. Prompts and parameters must be ones that `check` lets pass: longer prompts are cut.
        """
        if judge:
            self._engine(JUDGE)  # a bundle without one stops here
            self.check_judge(self.bundle.sizes.pixels(cells))
        return self._pairs(iter(inputs), plan, cells, judge)

    def check(self, params: SamplingParams, prompts: Iterable[str], *, truncate: bool) -> None:
        """Raise WetgenError for a prompt that is too long, unless `truncate`, a plan that the bundle lacks, a guidance
        that the denoiser does not know, and a negative prompt where the plan has no use for one."""
        plan = self.bundle.plan(params.plan)
        if params.negative:
            check_negative(plan)
        check_guidance(params.guidance, self.bundle.guidance_range)
        self._tokenizer.encode([params.negative, *prompts], truncate=truncate)

    def check_judge(self, size: tuple[int, int] | None) -> None:
        """Raise WetgenError unless the judge can look at pictures of that size (H, W), None for any size."""
        sizes = self.bundle.sizes
        if size != (sizes.height, sizes.width):
            raise WetgenError(
                "The judge cannot look at pictures of another size.",
                why=f"its graph takes the {sizes.width} x {sizes.height} pixels of the bundle's pictures.",
                fix="leave out --keep-agreement, or --size.",
            )

    def judge(self, images: Array) -> dict[str, Array]:
        """What the bundle's judge sees in images uint8 (N, H, W, 3): `judged` and `judge_confidence`, uint8 (N, H, W).

        Raises WetgenError if the bundle has no judge.
        """
        sizes, engine = self.bundle.sizes, self._engine(JUDGE)
        none: Array = np.zeros((0, sizes.height, sizes.width), np.uint8)
        parts = [(none, none)]
        for start in range(0, len(images), self.batch):
            part = images[start : start + self.batch]
            seen = engine.run({"image": np.stack(pad_batch(list(part), self.batch))})
            parts.append((seen["mask"][: len(part)], seen["confidence"][: len(part)]))
        judged, confidence = map(np.concatenate, zip(*parts, strict=True))
        return {"judged": judged, "judge_confidence": confidence}

    def tiled(self, plan: Plan) -> TiledGraphs:
        """What draws pairs of any size, and into pictures, with the steps of a plan; arrays stay on the host."""
        if self._on_device is not None and "decode" not in self._engines:
            self._note("pictures of other sizes and photographs are drawn through the host, step by step")
        return TiledGraphs(self._on_host(plan))

    def _note(self, text: str) -> None:
        self.notes.append(text)
        self._say(text)

    def _pairs(
        self, inputs: Iterator[SampleInputs], plan: Plan, cells: tuple[int, int] | None, judge: bool
    ) -> Iterator[Pair]:
        under_way: deque[list[SampleInputs]] = deque()
        with self._sampler(plan, cells) as sampler:
            while True:
                while len(under_way) < sampler.depth and (batch := list(islice(inputs, self.batch))):
                    under_way.append(batch)
                    sampler.submit(pad_batch(batch, self.batch))
                if not under_way:
                    return
                batch = under_way.popleft()
                outputs = sampler.collect()
                if judge:
                    outputs.update(self.judge(outputs["image"]))
                for i, each in enumerate(batch):
                    yield make_pair(each, {name: array[i] for name, array in outputs.items()}, self.bundle)

    @contextmanager
    def _sampler(self, plan: Plan, cells: tuple[int, int] | None) -> Iterator[Sampler]:
        sizes = self.bundle.sizes
        if cells is not None and cells != sizes.latent[1:]:
            yield TiledSampler(self.tiled(plan), plan)
        elif self._on_device is None:
            yield HostSampler(self._on_host(plan), plan)
        else:
            from wetgen.runtime.sampling.device import DeviceSampler

            again = self._decode_again if DEFAULT_TARGET in self.bundle.targets else None
            graphs, tokenizer = self._on_device.graphs, self._tokenizer
            sampler = DeviceSampler(graphs, tokenizer, plan, sizes, say=self._note, redecode=again)
            self._drawing.append(sampler)
            try:
                yield sampler
            finally:
                if sampler in self._drawing:  # unless `close` came before
                    self._drawing.remove(sampler)
                    sampler.close()

    def _on_host(self, plan: Plan) -> HostEngines:
        """The engines for a plan's steps, loaded if no plan before needed them."""
        return HostEngines(
            denoise={kind: self._engine(denoise_name(kind)) for kind in plan.kinds},
            decode=self._engine("decode"),
            encode=lambda: self._engine("encode"),
            embed=self._text.embed,
            sizes=self.bundle.sizes,
            batch=self.batch,
        )

    def _engine(self, name: str) -> Engine:
        """The graph of that name as an engine that is fed with arrays, loaded when it is first asked for."""
        if name not in self._engines:
            self._engines[name] = self._load(name)
        return self._engines[name]

    def _load(self, name: str) -> Engine:
        if name == JUDGE and not self.bundle.has_judge:
            raise WetgenError(
                "This bundle has no judge.",
                why=f"{self.bundle.folder} was exported without one.",
                fix="train one on real photographs and add it: wetgen judge REAL --bundle BUNDLE --out NEW",
            )
        if name == "encode":
            return self._load_on_cpu(name, self.batch)
        if self._on_device is not None:
            return self._on_device.fed(name)
        path = self.bundle.targets[self.target.name].files[name]
        batch = 1 if name == "text" else self.batch
        return open_engine(self.bundle.graphs[name], path, device=self.device, batch=batch, threads=self.threads)

    def _load_on_cpu(self, name: str, batch: int) -> Engine:
        held = self.bundle.targets.get(DEFAULT_TARGET)
        if held is None:
            raise WetgenError(
                "This bundle cannot take photographs.",
                why=f"they are encoded on the CPU, and {self.bundle.folder} holds no graphs for {DEFAULT_TARGET}.",
                fix=f"export it again with --target {DEFAULT_TARGET} added.",
            )
        return open_engine(self.bundle.graphs[name], held.files[name], device="cpu", batch=batch, threads=self.threads)

    def _decode_again(self, latents: Array) -> dict[str, Array]:
        """Decode latents (B, C, h, w) on the CPU, one by one: it is rare, and memory is short on small boards."""
        engine = self._load_on_cpu("decode", 1)
        parts = [engine.run({"latent": latent[None]}) for latent in latents]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

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


def _check_loading(device: str, batch: int, threads: int | None) -> None:
    if device not in DEVICES:
        raise WetgenError(
            f"There is no device '{device}'.", why=f"devices are {', '.join(DEVICES)}.", fix="choose one."
        )
    for name, value in (("batch", batch), ("threads", threads)):
        if value is not None and value < 1:
            raise WetgenError(f"{name} is {value}.", why="it must be at least 1.", fix=f"use {name} 1 or more.")


def check_inputs(seed: int, guidance: float | None, count: int = 1) -> None:
    """Raise WetgenError for values that no bundle can generate from."""
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


def check_negative(plan: Plan) -> None:
    """Raise WetgenError where a negative prompt would have no effect."""
    if not plan.guided:
        raise WetgenError(
            f"The plan '{plan.name}' has no use for a negative prompt.",
            why="it acts where a step is guided, and no step of this plan is.",
            fix="leave it out, or choose a plan with guided steps; `wetgen inspect` lists them.",
        )


def check_guidance(guidance: float, known: tuple[float, float] | None) -> None:
    """Raise WetgenError for a scale outside the range `known` to a network; None where guidance is not distilled."""
    if known is not None and not known[0] <= guidance <= known[1]:
        raise WetgenError(
            f"The guidance is {guidance:g}.",
            why=f"guidance was distilled into this bundle's denoiser, which learnt scales from {known[0]:g} to "
            f"{known[1]:g}.",
            fix="choose a guidance in that range, or a bundle whose guidance is not distilled.",
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


def checked_cells(size: tuple[int, int] | None, sizes: Sizes) -> tuple[int, int] | None:
    """(h, w) of the latent of a picture of (width, height) pixels, None for that of the bundle's graphs.

    Raises WetgenError for a size that windows of the graphs' size cannot cover.
    """
    if size is None:
        return None
    rows, columns = sizes.stride
    width, height = size
    if width % columns or height % rows:
        near = f"{max(sizes.width, round(width / columns) * columns)}x{max(sizes.height, round(height / rows) * rows)}"
        raise WetgenError(
            f"Pictures of {width} x {height} pixels are not possible.",
            why=f"a cell of the latent is {columns} x {rows} pixels, and pictures are whole cells.",
            fix=f"use multiples of {columns} and {rows}, such as {near}.",
        )
    if width < sizes.width or height < sizes.height:
        raise WetgenError(
            f"Pictures of {width} x {height} pixels are not possible.",
            why=f"the bundle's graphs draw windows of {sizes.width} x {sizes.height}, and a picture is at least one.",
            fix=f"use at least {sizes.width}x{sizes.height}, or a bundle exported for smaller pictures.",
        )
    if width * height > MOST_PIXELS:
        raise WetgenError(
            f"Pictures of {width} x {height} pixels are not possible.",
            why=f"at most {MOST_PIXELS:,} pixels are drawn at a time.",
            fix="draw smaller pictures.",
        )
    return height // rows, width // columns
