"""A bundle with small random networks that honour the graphs' contracts, written without torch in a few milliseconds.

The networks depend on everything they are given (each half of the embedding, the step's row, the conditioning), so a
mix-up changes the pictures.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from wetgen.runtime.bundle.archive import TOKENIZER_NAME, file_sha256
from wetgen.runtime.bundle.bundle import FORMAT, declarations, graph_entry, plan_to_json, sizes_to_json, target_entry
from wetgen.runtime.bundle.graphs import (
    CLEAN,
    COEFFICIENTS,
    DEEP,
    JUDGE,
    Graph,
    Plan,
    Sizes,
    StepKind,
    Tensor,
    graphs_of,
    kinds_of,
)
from wetgen.runtime.bundle.targets import TARGETS
from wetgen.runtime.masks.classes import ClassTable
from wetgen.runtime.run.fingerprints import KIND, Fingerprints
from wetgen.training.schedule import alphas_cumprod, ddim_steps, dpmpp_steps, timesteps

CLASSES = ClassTable(("background", "crack", "stain", "mold"))
WORDS = {"crack": ["crack", "cracks"], "stain": ["stain", "water stain"], "mold": ["mold", "mould"]}
SIZES = Sizes(32, 32, 4, 8, 8, 24, 16, len(CLASSES), 9)
NO_MASK_SIZES = Sizes(32, 32, 4, 8, 8, 24, 16, 0, 0)
MIXED_SIZES = replace(SIZES, deep_channels=6)
WIDTH = 16  # channels inside the denoiser
JUDGED = ("crack", "stain")  # what the judge knows; of mold it knows nothing
CAPTIONS = ("a crack in a wet wall", "a brown water stain on the ceiling", "black mold in a bathroom corner")

FLOAT32 = {"compute": "float32", "weights": "float32"}
_TYPES = {"float32": TensorProto.FLOAT, "int32": TensorProto.INT32, "uint8": TensorProto.UINT8}


def write_bundle(
    folder: Path,
    sizes: Sizes = SIZES,
    *,
    seed: int = 0,
    judge: bool = False,
    known: Fingerprints | None = None,
    plans: Sequence[Plan] = (),
) -> Path:
    """Write a bundle into `folder` and return it; `sizes` must have 8 x 8 latents of 32 x 32 pictures.

    `judge`: with a judge, the other graphs the same as without; `known`: with these fingerprints; `plans`: instead of
    `tiny_plans`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_tokenizer(folder / TOKENIZER_NAME, sizes.tokens)
    plans = plans or tiny_plans()
    kinds = kinds_of(plans)
    rng = np.random.default_rng(seed)
    builders = {"text": _text, "decode": _decode, "encode": _encode, "judge": _judge}
    files = {}
    for name, graph in graphs_of(sizes, kinds=kinds, judge=judge).items():
        files[name] = f"{name}.onnx"
        onnx.save(builders.get(name, _denoise)(graph, sizes, plans, rng), folder / files[name])
    info = {
        "format": FORMAT,
        "sizes": sizes_to_json(sizes),
        "classes": CLASSES.to_json() if sizes.classes else None,
        "words": WORDS if sizes.classes else {},
        "plans": {plan.name: plan_to_json(plan) for plan in plans},
        "default_plan": plans[0].name,
        "default_guidance": 3.0,
        "schedule": {"alphas_cumprod": alphas_cumprod().tolist(), "ends_clean": True},
        "graphs": declarations(sizes, kinds=kinds, judge=judge),
        "targets": {"cpu": target_entry(TARGETS["cpu"], _entries(files), (), {})},
        "made_by": "wetgen 0.1.0",
        "versions": {"numpy": np.__version__},
        "trained_on": [{"source": "random numbers", "license": "CC0-1.0", "pairs": 0}],
    }
    names = [TOKENIZER_NAME, *files.values()]
    if judge:
        info["judge"] = {**graph_entry(files[JUDGE], FLOAT32), "classes": list(JUDGED), "suggested": 0.25}
    if known is not None:
        known.write(folder / "fingerprints.bin")
        names.append("fingerprints.bin")
        info["fingerprints"] = {"file": names[-1], "kind": KIND, "count": len(known), "most_bits": known.most_bits}
    write_info(folder, info, names)
    return folder


def _entries(files: dict[str, str]) -> dict[str, object]:
    return {name: graph_entry(file, FLOAT32) for name, file in files.items() if name != JUDGE}


def write_info(folder: Path, info: dict[str, object], names: Sequence[str]) -> None:
    """Write bundle.json with the true size and hash of the named files."""
    info["files"] = {
        name: {"bytes": (folder / name).stat().st_size, "sha256": file_sha256(folder / name)} for name in names
    }
    (folder / "bundle.json").write_text(json.dumps(info, indent=1), encoding="utf-8")


def tiny_plans() -> list[Plan]:
    """Two plans of different length, one behind the other in the tables."""
    table = alphas_cumprod()
    plans, first_row = [], 0
    for name, steps in (("four", 4), ("two", 2)):
        plans.append(Plan(name, first_row, ddim_steps(table, timesteps(1000, steps))))
        first_row += steps
    return plans


def mixed_plans() -> list[Plan]:
    """A plan with every kind of step, features being kept twice, and one without guidance."""
    table = alphas_cumprod()
    kinds = (
        ("unguided", "guided_keep", "guided_reuse", "guided", "guided_reuse", "unguided_keep", "unguided_reuse"),
        ("unguided_keep", "unguided_reuse", "unguided"),
    )
    plans, first_row = [], 0
    for name, each in zip(("every", "unguided"), kinds, strict=True):
        steps = ddim_steps(table, timesteps(1000, len(each)))
        kinded = (s._replace(**StepKind.named(k)._asdict()) for s, k in zip(steps, each, strict=True))
        plans.append(Plan(name, first_row, tuple(kinded)))
        first_row += len(each)
    return plans


def multistep_plans() -> list[Plan]:
    """Two plans of DPM-Solver++: one plain, of an odd number of steps, and one with every kind of step."""
    kinds = ("unguided", "guided_keep", "guided_reuse", "guided", "guided_reuse", "unguided_keep", "unguided_reuse")
    first, second = (dpmpp_steps(alphas_cumprod(), timesteps(1000, count)) for count in (3, len(kinds)))
    halves = [StepKind.named(kind) for kind in kinds]
    mixed = tuple(s._replace(guided=k.guided, cache=k.cache) for s, k in zip(second, halves, strict=True))
    return [Plan("plain", 0, first), Plan("every", len(first), mixed)]


def write_tokenizer(path: Path, length: int) -> None:
    """Byte-level BPE as training writes it: begin and end tokens, padding with the end token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<bos>", "<eos>"]
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CAPTIONS * 3, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=[(token, tokenizer.token_to_id(token)) for token in special]
    )
    tokenizer.enable_padding(pad_id=tokenizer.token_to_id("<eos>"), pad_token="<eos>", length=length)
    tokenizer.save(str(path))


@dataclass
class _Network:
    """Nodes and weights as they are put together; every method returns the name of its output."""

    rng: np.random.Generator
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: list[onnx.TensorProto] = field(default_factory=list)

    def op(self, kind: str, *inputs: str, to: str | None = None, **attributes: object) -> str:
        output = to or f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def constant(self, value: np.ndarray) -> str:
        self.weights.append(numpy_helper.from_array(value, f"w{len(self.weights)}"))
        return self.weights[-1].name

    def random(self, *shape: int, scale: float = 1.0) -> str:
        return self.constant((scale * self.rng.standard_normal(shape)).astype(np.float32))

    def ints(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def model(self, graph: Graph) -> onnx.ModelProto:
        proto = helper.make_graph(
            self.nodes, graph.name, list(map(_value, graph.inputs)), list(map(_value, graph.outputs)), self.weights
        )
        model = helper.make_model(proto, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        onnx.checker.check_model(model, full_check=True)
        return model


def _value(tensor: Tensor) -> onnx.ValueInfoProto:
    """A declaration as the exporter writes it; torch calls a doubled batch "2*B"."""
    shape = ["2*B" if axis == "2B" else axis for axis in tensor.shape]
    return helper.make_tensor_value_info(tensor.name, _TYPES[tensor.dtype], shape)


def _text(graph: Graph, sizes: Sizes, plans: Sequence[Plan], rng: np.random.Generator) -> onnx.ModelProto:
    net = _Network(rng)
    tokens = net.op("Gather", net.random(400, sizes.text_width), "token_ids")
    places = net.random(1, sizes.tokens, 1, scale=0.5)
    net.op("Mul", tokens, places, to="embedding")
    return net.model(graph)


def _denoise(graph: Graph, sizes: Sizes, plans: Sequence[Plan], rng: np.random.Generator) -> onnx.ModelProto:
    """uncond + guidance * (cond - uncond), then keep * x + push * v, the tables indexed by `step`.

    An unguided step takes guidance as a network does that it was distilled into. Deep features are made of the hidden
    layer, or given.
    """
    net = _Network(rng)
    steps = [step for plan in plans for step in plan.steps]
    guided = graph.inputs[1].shape[0] == "2B"
    given = ["latent"]
    if sizes.conditioning_channels:
        given = [net.op("Concat", "latent", "conditioning", axis=1)]
    seen = net.op("Concat", *given, *given, axis=0) if guided else given[0]
    hidden = net.op("Conv", seen, _first_kernel(net, sizes), pads=[1, 1, 1, 1])
    text = net.op("ReduceMean", "embedding", net.ints(1), keepdims=0)
    text = net.op("MatMul", text, net.random(sizes.text_width, WIDTH, scale=4.0))
    time = net.op("Gather", net.random(len(steps), WIDTH), "step")
    for addend in (text, time):
        hidden = net.op("Add", hidden, net.op("Unsqueeze", addend, net.ints(2, 3)))
    said = net.op("Conv", net.op("Tanh", hidden), net.random(sizes.latent_channels, WIDTH, 1, 1, scale=0.3))
    if DEEP in {tensor.name for tensor in (*graph.inputs, *graph.outputs)}:
        if graph.outputs[-1].name == DEEP:
            net.op("Conv", hidden, net.random(sizes.deep_channels, WIDTH, 1, 1, scale=0.3), to=DEEP)
        deep = net.op("Conv", DEEP, net.random(sizes.latent_channels, sizes.deep_channels, 1, 1, scale=0.3))
        said = net.op("Add", said, deep)
    scale = net.op("Reshape", "guidance", net.ints(-1, 1, 1, 1))
    if guided:
        halves = net.op("Reshape", said, net.ints(2, -1, *sizes.latent))
        uncond, cond = (net.op("Gather", halves, net.constant(np.array(half)), axis=0) for half in (0, 1))
        prediction = net.op("Add", uncond, net.op("Mul", scale, net.op("Sub", cond, uncond)))
    else:
        prediction = net.op("Add", said, net.op("Mul", scale, net.constant(np.float32(0.01))))
    keep, push, pull, clean_keep, clean_push = (
        net.op("Gather", net.constant(np.array([getattr(step, name) for step in steps], np.float32)), "step")
        for name in COEFFICIENTS
    )
    if CLEAN in {tensor.name for tensor in graph.inputs}:
        after = net.op("Add", net.op("Mul", keep, "latent"), net.op("Mul", push, prediction))
        net.op("Add", after, net.op("Mul", pull, CLEAN), to="latent_after")
        net.op("Add", net.op("Mul", clean_keep, "latent"), net.op("Mul", clean_push, prediction), to="clean_after")
    else:
        net.op("Add", net.op("Mul", keep, "latent"), net.op("Mul", push, prediction), to="latent_after")
    return net.model(graph)


def _first_kernel(net: _Network, sizes: Sizes) -> str:
    """Weights (WIDTH, C + Cc, 3, 3); those of the known map from numbers of their own, so that it moves no others."""
    channels = sizes.latent_channels + max(0, sizes.conditioning_channels - 1)
    kernel = 0.2 * net.rng.standard_normal((WIDTH, channels, 3, 3))
    if sizes.conditioning_channels:
        known = 0.2 * np.random.default_rng(23).standard_normal((WIDTH, 1, 3, 3))
        kernel = np.concatenate([kernel, known], axis=1)
    return net.constant(kernel.astype(np.float32))


def _decode(graph: Graph, sizes: Sizes, plans: Sequence[Plan], rng: np.random.Generator) -> onnx.ModelProto:
    net = _Network(rng)
    factor = sizes.height // sizes.latent_height
    width = 3 + sizes.classes
    grown = net.op(
        "ConvTranspose",
        "latent",
        net.random(sizes.latent_channels, width, factor, factor, scale=0.4),
        strides=[factor, factor],
    )
    grown = net.op("Transpose", grown, perm=[0, 2, 3, 1])
    image = net.op("Slice", grown, net.ints(0), net.ints(3), net.ints(3))
    levels = net.op("Mul", net.op("Sigmoid", image), net.constant(np.float32(255)))
    _cast(net, levels, "image")
    if sizes.classes:
        logits = net.op("Slice", grown, net.ints(3), net.ints(width), net.ints(3))
        best = net.op("ArgMax", logits, axis=3, keepdims=0)
        net.nodes.append(helper.make_node("Cast", [best], ["mask"], to=TensorProto.UINT8))
        sure = net.op("ReduceMax", net.op("Softmax", logits, axis=3), net.ints(3), keepdims=0)
        _cast(net, net.op("Mul", sure, net.constant(np.float32(255))), "confidence")
    return net.model(graph)


def _cast(net: _Network, levels: str, to: str) -> None:
    net.nodes.append(helper.make_node("Cast", [net.op("Round", levels)], [to], to=TensorProto.UINT8))


def _encode(graph: Graph, sizes: Sizes, plans: Sequence[Plan], rng: np.random.Generator) -> onnx.ModelProto:
    net = _Network(rng)
    factor = sizes.height // sizes.latent_height
    net.nodes.append(helper.make_node("Cast", ["image"], ["image_float"], to=TensorProto.FLOAT))
    planes = net.op("Transpose", "image_float", perm=[0, 3, 1, 2])
    if sizes.classes:
        net.nodes.append(helper.make_node("Cast", ["mask"], ["mask_float"], to=TensorProto.FLOAT))
        planes = net.op("Concat", planes, net.op("Unsqueeze", "mask_float", net.ints(1)), axis=1)
    channels = 4 if sizes.classes else 3
    kernel = net.random(sizes.latent_channels, channels, factor, factor, scale=0.001)
    net.op("Conv", planes, kernel, strides=[factor, factor], to="latent")
    return net.model(graph)


def _judge(graph: Graph, sizes: Sizes, plans: Sequence[Plan], rng: np.random.Generator) -> onnx.ModelProto:
    """A linear classifier of 4 x 4 squares by their texture, chosen so that pairs of one prompt fare differently."""
    net = _Network(np.random.default_rng(19))
    net.nodes.append(helper.make_node("Cast", ["image"], ["image_float"], to=TensorProto.FLOAT))
    planes = net.op("Transpose", "image_float", perm=[0, 3, 1, 2])
    kernel = net.rng.standard_normal((sizes.classes, 3, 4, 4))
    kernel = 0.02 * (kernel - kernel.mean((2, 3), keepdims=True))  # flat squares and brightness say nothing
    logits = net.op("Conv", planes, net.constant(kernel.astype(np.float32)), strides=[4, 4])
    scales = net.constant(np.array([1, 1, 4, 4], np.float32))
    grown = net.op("Resize", logits, "", scales, mode="nearest")
    best = net.op("ArgMax", grown, axis=1, keepdims=0)
    net.nodes.append(helper.make_node("Cast", [best], ["mask"], to=TensorProto.UINT8))
    sure = net.op("ReduceMax", net.op("Softmax", grown, axis=1), net.ints(1), keepdims=0)
    _cast(net, net.op("Mul", sure, net.constant(np.float32(255))), "confidence")
    return net.model(graph)
