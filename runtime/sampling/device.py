"""A sampler whose tensors stay on the GPU, from the noise to the bytes that are to be stored.

Every buffer is allocated and bound once. The denoiser's output is its next input: two latents, taken in turn. There are
two sets of buffers on three streams, so that one batch is computed while prompts and noise of the next go in (`feed`)
and the bytes of the last come out (`copy`). The whole trajectory of a set, every step and the decoder, is recorded as
one CUDA graph and repeated with one call. Streams wait for each other by events; the host waits only for the bytes.

Axes: B pairs of a batch, C h w of a latent, H W of a picture, T tokens, E text width.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from wetgen.runtime.bundle.graphs import AFTER, LATENT, Array, Plan, Sizes, Step, kept_tensors, walk
from wetgen.runtime.bundle.tokenizer import PromptTokenizer
from wetgen.runtime.engines import cuda
from wetgen.runtime.engines.device_graph import DeviceGraphs, aligned, nbytes
from wetgen.runtime.engines.load import SETS, embedding_slots
from wetgen.runtime.errors import Say, WetgenError
from wetgen.runtime.sampling.sampler import CONSTANT, SampleInputs, picture_faults

Redecode = Callable[[Array], dict[str, Array]]
"""Decodes latents (B, C, h, w) with another decoder, in float32; gives the decoder's outputs by name."""

_OF_A_PAIR = ("guidance", "conditioning")  # inputs that may differ between the pairs of a batch


@dataclass
class _Set:
    """The buffers of one batch under way. Addresses are the device's; arrays are pinned host memory."""

    latents: tuple[int, int]
    embeddings: dict[bool, int]  # for guided steps (2B, T, E), uncond before cond; for unguided ones (B, T, E)
    outputs: dict[str, int]
    tokens: int  # 2B rows: a batch's negative prompts and its prompts
    noise: tuple[int, Array]
    token_ids: tuple[int, Array]
    inputs: dict[str, tuple[int, int, Array]]  # guidance and conditioning: on the device, pinned, and as an array
    results: dict[str, tuple[int, Array]]  # the latent and the decoder's outputs
    fed: int  # events: inputs are in place, the trajectory is done, the bytes have come
    drawn: int
    arrived: int
    uploaded: set[str] = field(default_factory=set)  # names of `inputs`
    negatives: list[str] | None = None  # those whose embeddings are in place
    recorded: cuda.RecordedGraph | None = None
    last: int = 0  # which of `latents` the trajectory ends in


class DeviceSampler:
    """Draws batches with graphs that work on device memory; see `Sampler`."""

    depth = SETS

    def __init__(
        self,
        graphs: DeviceGraphs,
        tokenizer: PromptTokenizer,
        plan: Plan,
        sizes: Sizes,
        *,
        say: Say,
        redecode: Redecode | None,
    ) -> None:
        """`redecode` serves pictures that came out as one colour, None
        where the bundle has nothing to decode them with again."""
        self._graphs, self._tokenizer, self._plan, self._sizes = graphs, tokenizer, plan, sizes
        self._say, self._redecode = say, redecode
        self._batch = graphs.decode.batch
        self._under_way: deque[_Set] = deque()
        self._own = cuda.Resources()
        self._sets: list[_Set] = []
        self._next = 0
        self._warm = False
        self._recordable = self._may_record()
        try:
            self._copy = self._own.stream()
            self._allocate()
        except BaseException:
            with suppress(WetgenError):  # report the original error, not the one from cleanup
                self.close()
            raise

    def submit(self, batch: Sequence[SampleInputs]) -> None:
        assert len(self._under_way) < SETS, "every set of buffers is under way"
        assert len(batch) == self._batch, "a batch is full"
        chosen = self._sets[self._next]
        self._next = (self._next + 1) % SETS
        self._feed(chosen, batch)
        cuda.let_wait(self._graphs.compute, chosen.fed)
        self._draw(chosen)
        cuda.record(chosen.drawn, self._graphs.compute)
        cuda.let_wait(self._copy, chosen.drawn)
        self._bring_back(chosen)
        cuda.record(chosen.arrived, self._copy)
        self._under_way.append(chosen)

    def collect(self) -> dict[str, Array]:
        chosen = self._under_way.popleft()
        cuda.wait_for_event(chosen.arrived)
        outputs = {name: array.copy() for name, (_, array) in chosen.results.items()}
        self._repair(outputs)
        return outputs

    def close(self) -> None:
        """Wait for what is under way, and free everything."""
        for stream in (self._graphs.feed, self._graphs.compute):
            cuda.wait_for_stream(stream)
        self._under_way.clear()
        for done in self._sets:
            if done.recorded is not None:
                done.recorded.close()
        self._sets = []
        self._own.close()

    def _may_record(self) -> bool:
        for graph in (*(self._graphs.denoise[kind] for kind in self._plan.kinds), self._graphs.decode):
            if not graph.capturable:
                self._say(f"no CUDA graph of the whole trajectory: {graph.why_not}")
                return False
        return True

    def _allocate(self) -> None:
        text = self._graphs.text
        self._declared = [self._graphs.denoise[kind].graph for kind in self._plan.kinds]
        self._embedding_bytes = nbytes(text.graph.outputs[0], 1)
        self._token_bytes = nbytes(text.graph.inputs[0], 1)
        self._slots = embedding_slots(text.graph.outputs[0])
        self._cache = self._own.device(self._slots * aligned(self._embedding_bytes))
        self._cached: OrderedDict[str, int] = OrderedDict()  # prompt to slot, the one used last at the end
        self._rows = self._upload_rows()
        self._kept = self._kept_buffers()
        self._sets = [self._new_set() for _ in range(SETS)]

    def _upload_rows(self) -> int:
        """Each step's row in the graphs' tables; returns where the first one is."""
        rows, stream, stride = list(self._plan.rows), self._graphs.feed, aligned(4)
        # A recorded sequence reads the same addresses every time, so every step's number has an address of its own.
        steps, numbers = self._own.pinned((len(rows), stride // 4), "int32")
        numbers[...] = np.array(rows, np.int32)[:, None]
        on_device = self._own.device(len(rows) * stride)
        cuda.to_device(on_device, steps, len(rows) * stride, stream)
        return on_device

    def _kept_buffers(self) -> dict[str, list[int]]:
        """Buffers for what steps hand to later ones beside the latent; two where a step both takes and gives it.

        Trajectories follow each other on one stream, so both sets share them.
        """
        buffers: dict[str, list[int]] = {}
        for name, size in kept_tensors(self._declared, self._batch).items():
            buffers.setdefault(name.removesuffix(AFTER), []).append(self._own.device(size))
        return buffers

    def _input_buffers(self) -> dict[str, tuple[int, int, Array]]:
        """Buffers for what batches say beside prompts and noise."""
        buffers = {}
        tensors = [tensor for graph in self._declared for tensor in graph.inputs if tensor.name in _OF_A_PAIR]
        for tensor in {tensor.name: tensor for tensor in tensors}.values():
            device = self._own.device(nbytes(tensor, self._batch))
            buffers[tensor.name] = device, *self._own.pinned(tensor.sizes(self._batch), tensor.dtype)
        return buffers

    def _new_set(self) -> _Set:
        batch, own = self._batch, self._own
        latent, outputs = self._graphs.decode.graph.inputs[0], self._graphs.decode.graph.outputs
        tokens = self._graphs.text.graph.inputs[0]
        latents = (own.device(nbytes(latent, batch)), own.device(nbytes(latent, batch)))
        results = {"latent": own.pinned(latent.sizes(batch), latent.dtype)}
        results.update({tensor.name: own.pinned(tensor.sizes(batch), tensor.dtype) for tensor in outputs})
        return _Set(
            latents=latents,
            embeddings={
                guided: own.device((2 if guided else 1) * batch * self._embedding_bytes)
                for guided in {step.guided for step in self._plan.steps}
            },
            outputs={tensor.name: own.device(nbytes(tensor, batch)) for tensor in outputs},
            tokens=own.device(2 * batch * aligned(self._token_bytes)),
            noise=own.pinned(latent.sizes(batch), latent.dtype),
            token_ids=own.pinned((2 * batch, tokens.sizes(1)[1]), tokens.dtype),
            inputs=self._input_buffers(),
            results=results,
            fed=own.event(),
            drawn=own.event(),
            arrived=own.event(),
        )

    def _feed(self, chosen: _Set, batch: Sequence[SampleInputs]) -> None:
        """Upload the inputs of a batch on the stream for that. The last batch of the set has been collected."""
        stream, size = self._graphs.feed, self._batch
        address, array = chosen.noise
        array[...] = np.stack([each.noise(self._sizes) for each in batch])
        cuda.to_device(chosen.latents[0], address, array.nbytes, stream)
        self._upload(chosen, "guidance", np.array([each.params.guidance for each in batch], np.float32))
        if "conditioning" in chosen.inputs:
            self._upload(chosen, "conditioning", np.stack([each.conditioning(self._sizes) for each in batch]))
        encoded = 0
        negatives = [each.params.negative for each in batch]
        if self._plan.guided and negatives != chosen.negatives:
            for row, negative in enumerate(negatives):
                encoded += self._put_embedding(chosen, negative, [(True, row)], encoded)
            chosen.negatives = negatives
        for row, each in enumerate(batch):
            rows = [(guided, size + row if guided else row) for guided in chosen.embeddings]
            encoded += self._put_embedding(chosen, each.prompt, rows, encoded)
        cuda.record(chosen.fed, stream)

    def _upload(self, chosen: _Set, name: str, values: Array) -> None:
        """Upload an input, unless the device has these values already: batches of one run mostly share them."""
        device, pinned, array = chosen.inputs[name]
        if name not in chosen.uploaded or not np.array_equal(array, values):
            chosen.uploaded.add(name)
            array[...] = values
            cuda.to_device(device, pinned, array.nbytes, self._graphs.feed)

    def _put_embedding(self, chosen: _Set, prompt: str, rows: Sequence[tuple[bool, int]], encoded: int) -> int:
        """Put a prompt's embedding into rows of a set's buffers; gives 1 if it had to be encoded, as the `encoded`-th,
        else 0."""
        slot = self._cached.pop(prompt, None)
        new = slot is None
        if slot is None:
            # A slot is free, or its prompt was used longest ago; copies out of it are on the same stream, so are done.
            slot = len(self._cached) if len(self._cached) < self._slots else self._cached.popitem(last=False)[1]
            self._encode(chosen, prompt, encoded, self._slot(slot))
        self._cached[prompt] = slot
        for guided, row in rows:
            target = chosen.embeddings[guided] + row * self._embedding_bytes
            cuda.on_device(target, self._slot(slot), self._embedding_bytes, self._graphs.feed)
        return int(new)

    def _encode(self, chosen: _Set, prompt: str, row: int, target: int) -> None:
        """One prompt at a time, so that an embedding never depends on other prompts."""
        text, stream = self._graphs.text, self._graphs.feed
        address, array = chosen.token_ids
        array[row] = self._tokenizer.encode([prompt], truncate=True)[0]
        on_device = chosen.tokens + row * aligned(self._token_bytes)
        cuda.to_device(on_device, address + row * self._token_bytes, self._token_bytes, stream)
        text.enqueue({text.graph.inputs[0].name: on_device, text.graph.outputs[0].name: target}, stream)

    def _slot(self, slot: int) -> int:
        return self._cache + slot * aligned(self._embedding_bytes)

    def _draw(self, chosen: _Set) -> None:
        """Put the trajectory on the stream: recorded if it can be, step by step if not.

        The first batch is never recorded: engines finish setting themselves up in their first run.
        """
        if self._recordable and self._warm and chosen.recorded is None:
            try:
                chosen.recorded = cuda.capture(self._graphs.compute, lambda: self._walk(chosen))
            except WetgenError as error:
                self._recordable = False
                self._say(f"no CUDA graph of the whole trajectory: {error.what} {error.why}")
        if chosen.recorded is None:
            self._walk(chosen)
        else:
            chosen.recorded.launch(self._graphs.compute)
        self._warm = True

    def _walk(self, chosen: _Set) -> None:
        """Every step of the plan, then the decoder. What steps hand on is the address of a buffer."""
        inputs = {name: device for name, (device, _, _) in chosen.inputs.items()}
        buffers = {LATENT: chosen.latents, **self._kept}

        def run(i: int, step: Step, given: Mapping[str, int]) -> dict[str, int]:
            gives = {name: _free(buffers[name.removesuffix(AFTER)], given) for name in step.kind.gives}
            row, embedding = self._rows + i * aligned(4), chosen.embeddings[step.guided]
            addresses = {**inputs, **given, **gives, "embedding": embedding, "step": row}
            denoise = self._graphs.denoise[step.kind]
            declared = (*denoise.graph.inputs, *denoise.graph.outputs)
            denoise.enqueue({tensor.name: addresses[tensor.name] for tensor in declared}, self._graphs.compute)
            return gives

        *_, last = walk(self._plan.steps, chosen.latents[0], run)
        self._graphs.decode.enqueue({LATENT: last, **chosen.outputs}, self._graphs.compute)
        chosen.last = last

    def _bring_back(self, chosen: _Set) -> None:
        sources = {LATENT: chosen.last, **chosen.outputs}
        for name, (address, array) in chosen.results.items():
            cuda.to_host(address, sources[name], array.nbytes, self._copy)

    def _repair(self, outputs: dict[str, Array]) -> None:
        """Decode again, once and in float32, what came out as one colour from a latent that is sound.

        A latent that is not finite is left as it is: the pair is broken, and no decoder can help.
        """
        latents, images = outputs["latent"], outputs["image"].astype(np.uint8, copy=False)
        flat = [i for i in range(self._batch) if picture_faults(latents[i], images[i]) == (CONSTANT,)]
        if not flat:
            return
        if self._redecode is None:
            self._say(f"{len(flat)} pictures are of one colour, and the bundle has no cpu target to decode them with")
            return
        for name, array in self._redecode(latents[flat]).items():
            outputs[name][flat] = array
        images = outputs["image"].astype(np.uint8, copy=False)
        saved = sum(picture_faults(latents[i], images[i]) == () for i in flat)
        self._say(f"{len(flat)} pictures of one colour were decoded again by the cpu target; {saved} are pictures now")


def _free(buffers: Sequence[int], given: Mapping[str, int]) -> int:
    """The first buffer that a step does not read."""
    return next(address for address in buffers if address not in given.values())
