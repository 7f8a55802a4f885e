"""cuda.bindings.runtime on the host's memory. Streams run only when somebody waits for them; see README.md."""

import ctypes
import itertools
import threading
from dataclasses import dataclass, field

import numpy as np

from .stubs import StubbedModule, check_call, cuda_stub

ALIGNMENT = 256
POISON = 0xCD


class Misuse(AssertionError):
    """The code under test did something that a GPU would punish, or worse, let pass."""


@dataclass
class Block:
    """An allocation."""

    address: int
    size: int
    pinned: bool
    storage: object = None

    @property
    def end(self):
        return self.address + self.size


@dataclass
class Work:
    """Something on a stream: what it reads and writes, and how it is done."""

    name: str
    run: object
    reads: tuple = ()
    writes: tuple = ()
    number: int = 0
    before: bytes = None  # what pinned sources held when it was put on the stream


@dataclass
class Stream:
    handle: int
    queue: list = field(default_factory=list)
    capturing: list = None
    spoiled: bool = False
    thread: int = 0


class Struct:
    """Plain attributes, for cudaDeviceProp."""

    def __init__(self, **values):
        self.__dict__.update(values)


class Handle:
    """cudaStream_t and its like."""

    def __init__(self, value):
        self._value = value

    def __int__(self):
        return self._value


class CudaDouble:
    """One imaginary GPU. `module` goes into sys.modules; `finish` raises for anything left over."""

    def __init__(self, *, name="Orin", capability=(8, 7), multiprocessors=16, total=8 * 2**30, integrated=True):
        self.stub = cuda_stub()
        self.properties = Struct(
            name=name.encode() + b"\0",
            major=capability[0],
            minor=capability[1],
            multiProcessorCount=multiprocessors,
            integrated=int(integrated),
            totalGlobalMem=total,
        )
        self.total, self.free = total, total // 2
        self.blocks, self.streams, self.events, self.graphs, self.executables = {}, {}, {}, {}, {}
        self.handles, self.numbers = itertools.count(1000), itertools.count(1)
        self.calls, self.failures = [], {}
        self.freed, self.spoil_captures = [], False
        self.module = self._build()

    # What tests arrange and ask

    def fail(self, call, error):
        """Let the next call of that name return an error; `failures` may hold None for calls that do not."""
        self.failures.setdefault(call, []).append(error)

    def count(self, call):
        """How often a function was called."""
        return self.calls.count(call)

    def finish(self):
        """Raise unless everything was waited for and given back."""
        for stream in self.streams.values():
            if stream.queue:
                raise Misuse(f"nobody waited for {[work.name for work in stream.queue]}")
        left = {
            "memory": len(self.blocks),
            "streams": len(self.streams),
            "events": len(self.events),
            "graphs": len(self.graphs),
            "executable graphs": len(self.executables),
        }
        left = {what: count for what, count in left.items() if count}
        if left:
            raise Misuse(f"never given back: {left}")

    # Memory

    def view(self, address, size, what="work"):
        """The bytes at an address, which must lie inside one living allocation."""
        for block in self.blocks.values():
            if block.address <= address and address + size <= block.end:
                return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))
        if any(start <= address < start + length for start, length in self.freed):
            raise Misuse(f"{what} uses memory that was freed")
        raise Misuse(f"{what} uses {size} bytes at {address:#x}, which are not inside any allocation")

    def is_pinned(self, address):
        return any(block.pinned and block.address <= address < block.end for block in self.blocks.values())

    def _allocate(self, size, pinned):
        storage = ctypes.create_string_buffer(size + ALIGNMENT)
        address = -(-ctypes.addressof(storage) // ALIGNMENT) * ALIGNMENT
        self.blocks[address] = Block(address, size, pinned, storage)
        self.view(address, size)[:] = POISON
        return address

    def _free(self, address, pinned):
        block = self.blocks.get(address)
        if block is None or block.pinned != pinned:
            raise Misuse(f"{address:#x} is freed and was not allocated so")
        for stream in self.streams.values():
            for work in stream.queue:
                for start, size in (*work.reads, *work.writes):
                    if start < block.end and block.address < start + size:
                        raise Misuse(f"memory is freed that {work.name} still needs")
        self.freed.append((block.address, block.size))
        # The storage stays, poisoned: a pointer that outlived it reads rubbish instead of ending the test run.
        self.view(block.address, block.size)[:] = POISON
        self._kept = [*getattr(self, "_kept", []), block.storage]
        del self.blocks[address]

    # Streams

    def put(self, stream, name, run, reads=(), writes=()):
        """Put work on a stream; `reads` and `writes` are (address, size)."""
        stream = self._stream(stream)
        for start, size in (*reads, *writes):
            self.view(start, size, name)
        work = Work(name, run, tuple(reads), tuple(writes), next(self.numbers))
        if stream.capturing is not None:
            stream.capturing.append(work)
            return
        self._remember(work)
        stream.queue.append(work)

    def _remember(self, work):
        """Note what the host gave, and spoil what the host must not read yet."""
        work.before = [bytes(self.view(start, size)) for start, size in work.reads if self.is_pinned(start)]
        for start, size in work.writes:
            if self.is_pinned(start):
                self.view(start, size)[:] = POISON

    def _stream(self, handle):
        number = int(handle)
        if number not in self.streams:
            raise Misuse("a stream is used that does not exist, or the default stream, which waits for all others")
        return self.streams[number]

    def _drain(self, stream, upto=None):
        """Run what is on a stream, up to a piece of work."""
        while stream.queue and (upto is None or stream.queue[0].number <= upto):
            work = stream.queue[0]
            self._check_races(work, stream)
            held = [bytes(self.view(start, size)) for start, size in work.reads if self.is_pinned(start)]
            if held != work.before:
                raise Misuse(f"the host changed what {work.name} had not read yet")
            stream.queue.pop(0)
            work.run()

    def _check_races(self, work, own):
        for other in self.streams.values():
            if other is own:
                continue
            for earlier in other.queue:
                if earlier.number < work.number and _touch(earlier, work):
                    raise Misuse(f"{work.name} does not wait for {earlier.name} on another stream")

    def _event(self, handle):
        if int(handle) not in self.events:
            raise Misuse("an event is used that does not exist")
        return int(handle)

    # The module

    def _build(self):
        contents = {name: getattr(self, f"_{name}") for name in self.stub.functions if hasattr(self, f"_{name}")}
        lacking = set(self.stub.functions) - set(contents)
        assert not lacking, f"the double lacks {lacking}"
        from enum import IntEnum

        for name in ("cudaError_t", "cudaMemcpyKind", "cudaStreamCaptureMode"):
            members = {target.targets[0].id: target.value.value for target in self.stub.classes[name].body}
            contents[name] = IntEnum(name, members)
        self.Error = contents["cudaError_t"]
        self.Kind, self.Mode = contents["cudaMemcpyKind"], contents["cudaStreamCaptureMode"]
        contents = {
            name: self._checked(name, value) if name in self.stub.functions else value
            for name, value in contents.items()
        }
        return StubbedModule("cuda.bindings.runtime", self.stub, contents)

    _NOT_IN_CAPTURE = (
        "cudaMalloc",
        "cudaFree",
        "cudaHostAlloc",
        "cudaFreeHost",
        "cudaStreamSynchronize",
        "cudaEventSynchronize",
        "cudaMemGetInfo",
    )

    def _checked(self, name, function):
        def call(*args, **kwargs):
            check_call(name, self.stub.functions[name], args, kwargs, bound=False)
            self.calls.append(name)
            results = ast_results(self.stub.functions[name][0])
            failure = self.failures[name].pop(0) if self.failures.get(name) else None
            if failure is not None:
                return (failure, *[None] * (results - 1))
            here = threading.get_ident()
            for stream in self.streams.values():
                if stream.capturing is not None and stream.thread == here and name in self._NOT_IN_CAPTURE:
                    stream.spoiled = True
                    return (self.Error.cudaErrorStreamCaptureUnsupported, *[0] * (results - 1))
            value = function(*args, **kwargs)
            if isinstance(value, self.Error):
                return (value, *[None] * (results - 1))
            given = () if value is None else value if isinstance(value, tuple) else (value,)
            return (self.Error.cudaSuccess, *given)

        return call

    def _cudaGetDeviceCount(self):
        return 1

    def _cudaGetDevice(self):
        return 0

    def _cudaGetDeviceProperties(self, device):
        return self.properties

    def _cudaMemGetInfo(self):
        return self.free, self.total

    def _cudaRuntimeGetVersion(self):
        return 12060

    def _cudaDriverGetVersion(self):
        return 12060

    def _cudaGetErrorString(self, error):
        return f"what {error.name} says".encode()

    def _cudaMalloc(self, size):
        return self._allocate(size, pinned=False)

    def _cudaFree(self, devPtr):
        self._free(devPtr, pinned=False)

    def _cudaHostAlloc(self, size, flags):
        return self._allocate(size, pinned=True)

    def _cudaFreeHost(self, ptr):
        self._free(ptr, pinned=True)

    def _cudaMemcpyAsync(self, dst, src, count, kind, stream):
        ends = {
            self.Kind.cudaMemcpyHostToDevice: (False, True),
            self.Kind.cudaMemcpyDeviceToHost: (True, False),
            self.Kind.cudaMemcpyDeviceToDevice: (False, False),
        }[kind]
        if (self.is_pinned(dst), self.is_pinned(src)) != ends:
            raise Misuse(f"a copy {kind.name} between other kinds of memory, or the host's is not pinned")

        def run():
            self.view(dst, count)[:] = self.view(src, count)

        self.put(stream, f"copy {kind.name}", run, [(src, count)], [(dst, count)])

    def _cudaStreamCreateWithFlags(self, flags):
        if flags != 1:
            raise Misuse("a stream that waits for the default stream")
        handle = next(self.handles)
        self.streams[handle] = Stream(handle)
        return Handle(handle)

    def _cudaStreamDestroy(self, stream):
        found = self._stream(stream)
        if found.queue or found.capturing is not None:
            raise Misuse(f"a stream is destroyed that nobody waited for: {[work.name for work in found.queue]}")
        del self.streams[found.handle]

    def _cudaStreamSynchronize(self, stream):
        self._drain(self._stream(stream))

    def _cudaStreamWaitEvent(self, stream, event, flags):
        waiting, recorded = self._stream(stream), self.events[self._event(event)]
        if recorded is None:
            raise Misuse("a stream waits for an event that was never recorded")
        source, upto = recorded
        if waiting.capturing is not None and source is not waiting:
            raise Misuse("a capture waits for work outside of it")
        self.put(stream, "wait", lambda: self._drain(source, upto))

    def _cudaEventCreateWithFlags(self, flags):
        if flags != 2:
            raise Misuse("an event with a clock, which costs more")
        handle = next(self.handles)
        self.events[handle] = None
        return Handle(handle)

    def _cudaEventDestroy(self, event):
        del self.events[self._event(event)]

    def _cudaEventRecord(self, event, stream):
        found = self._stream(stream)
        if found.capturing is not None:
            raise Misuse("an event is recorded inside of a capture: it would not tell of later launches")
        self.events[self._event(event)] = (found, next(self.numbers))

    def _cudaEventSynchronize(self, event):
        recorded = self.events[self._event(event)]
        if recorded is None:
            raise Misuse("the host waits for an event that was never recorded")
        self._drain(*recorded)

    def _cudaStreamBeginCapture(self, stream, mode):
        found = self._stream(stream)
        if mode != self.Mode.cudaStreamCaptureModeThreadLocal:
            raise Misuse(f"capture in {mode.name}: what another thread does would spoil it, or not be noticed")
        found.capturing, found.spoiled, found.thread = [], False, threading.get_ident()

    def _cudaStreamEndCapture(self, stream):
        found = self._stream(stream)
        works, found.capturing = found.capturing, None
        if found.spoiled or self.spoil_captures:
            return self.Error.cudaErrorStreamCaptureInvalidated
        handle = next(self.handles)
        self.graphs[handle] = works
        return Handle(handle)

    def _cudaGraphInstantiate(self, graph, flags):
        handle = next(self.handles)
        self.executables[handle] = self.graphs[int(graph)]
        return Handle(handle)

    def _cudaGraphDestroy(self, graph):
        del self.graphs[int(graph)]

    def _cudaGraphLaunch(self, graphExec, stream):
        works = self.executables[int(graphExec)]
        for work in works:
            self.put(stream, f"{work.name} of a graph", work.run, work.reads, work.writes)

    def _cudaGraphExecDestroy(self, graphExec):
        del self.executables[int(graphExec)]


def ast_results(node):
    """How many values a function's tuple has."""
    return len(node.returns.slice.elts) if hasattr(node.returns.slice, "elts") else 1


def _touch(one, other):
    """Whether two pieces of work may not run in either order: one writes what the other reads or writes."""
    pairs = [*((w, r) for w in one.writes for r in (*other.reads, *other.writes))]
    pairs += [(w, r) for w in other.writes for r in one.reads]
    return any(a[0] < b[0] + b[1] and b[0] < a[0] + a[1] for a, b in pairs)
