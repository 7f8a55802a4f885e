"""A checkpoint's networks as ONNX by torch's exporter and nothing else: what anybody gets who exports them."""

import contextlib
import hashlib
import io
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from wetgen.training.checkpoint import PARTS, Checkpoint
from wetgen.training.sample import free_conditioning

OPSET = 20
NAMES = ("text", "unet", "decode")


class _Text(nn.Module):
    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, token_ids: Tensor) -> Tensor:
        hidden: Tensor = self.encoder(token_ids).last_hidden_state
        return hidden


class _Unet(nn.Module):
    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, sample: Tensor, timestep: Tensor, states: Tensor) -> Tensor:
        prediction: Tensor = self.unet(sample, timestep, states, return_dict=False)[0]
        return prediction


class _Decode(nn.Module):
    def __init__(self, vae: nn.Module, masks: bool) -> None:
        super().__init__()
        self.vae, self.masks = vae, masks

    def forward(self, latent: Tensor) -> tuple[Tensor, ...]:
        image, logits = self.vae.decode(latent)  # type: ignore[operator]
        return (image, logits) if self.masks else (image,)


def raw_graphs(checkpoint: Checkpoint, cache: Path) -> dict[str, Path]:
    """The files of NAMES, made once per checkpoint in a folder of `cache`."""
    folder = cache / f"raw-{_digest(checkpoint)}"
    files = {name: folder / f"{name}.onnx" for name in NAMES}
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in _makers(checkpoint).items():
        if not files[name].is_file():
            make(files[name])
    return files


def _digest(checkpoint: Checkpoint) -> str:
    found = hashlib.sha256()
    for part in PARTS:
        for file in sorted((checkpoint.folder / part).glob("*.safetensors")):
            found.update(file.read_bytes())
    return found.hexdigest()[:12]


def _makers(checkpoint: Checkpoint) -> dict[str, Callable[[Path], None]]:
    sizes = checkpoint.sizes
    latent, ids = torch.zeros(2, *sizes.latent), torch.zeros(2, sizes.tokens, dtype=torch.int64)

    def unet(path: Path) -> None:
        extra = free_conditioning(checkpoint.unet, latent)
        seen = latent if extra is None else torch.cat([latent, extra], 1)
        states = torch.zeros(2, sizes.tokens, checkpoint.unet.config.cross_attention_dim)
        _export(_Unet(checkpoint.unet), (seen, torch.tensor([1]), states), path, "sample timestep states", "prediction")

    def decode(path: Path) -> None:
        outputs = "image logits" if sizes.classes else "image"
        _export(_Decode(checkpoint.vae, bool(sizes.classes)), (latent,), path, "latent", outputs)

    def text(path: Path) -> None:
        _export(_Text(checkpoint.text_encoder), (ids,), path, "token_ids", "states")

    return {"text": text, "unet": unet, "decode": decode}


def _export(module: nn.Module, given: tuple[Tensor, ...], path: Path, inputs: str, outputs: str) -> None:
    """Any batch; a timestep is one for all of it."""
    batch = torch.export.Dim("batch", min=1, max=64)
    shapes = tuple({0: batch} if len(tensor) == 2 else None for tensor in given)
    part = path.with_suffix(".part")
    talk = io.StringIO()
    with warnings.catch_warnings(), torch.no_grad(), contextlib.redirect_stdout(talk), contextlib.redirect_stderr(talk):
        warnings.simplefilter("ignore")  # what the exporter says about its own future
        torch.onnx.export(
            module.eval(),
            given,
            str(part),
            input_names=inputs.split(),
            output_names=outputs.split(),
            dynamic_shapes=shapes,
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
        )
    part.rename(path)
