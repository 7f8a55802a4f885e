"""SegFormer of the `full` profile, by `transformers` and from scratch: no weights are loaded (Xie et al. 2021).

Axes: N pictures, K classes, S pixels a side.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from wetgen.benchmarks.quality.pairs import Pairs
from wetgen.benchmarks.quality.segmenters.loop import NetworkSegmenter, Recipe, SegmentationNetwork, fit
from wetgen.runtime.errors import WetgenError, missing

if TYPE_CHECKING:
    from transformers import SegformerConfig

COARSEST = 32  # pixels a side that one place of the last stage stands for


class Segformer(SegmentationNetwork):
    """`transformers`' SegFormer with its maps, a quarter of the picture's size, enlarged."""

    def __init__(self, config: "SegformerConfig") -> None:
        super().__init__()
        from transformers import SegformerForSemanticSegmentation

        self.segformer = SegformerForSemanticSegmentation(config)

    def logits(self, images: Tensor) -> Tensor:
        maps = self.segformer(pixel_values=4 * images - 2).logits
        return functional.interpolate(maps, size=images.shape[-2:], mode="bilinear", align_corners=False)

    def pooled(self, images: Tensor) -> Tensor:
        """Mean and deviation of the first stage's maps, and the mean of the second's: (N, 128) for a MiT-B0."""
        first, second, *_ = self.segformer(pixel_values=4 * images - 2, output_hidden_states=True).hidden_states
        return torch.cat([first.mean((2, 3)), first.std((2, 3)), second.mean((2, 3))], 1).float()


class SegformerTrainer:
    """Trains SegFormers; the seed chooses the first weights, the batches and what is dropped out."""

    name = "segformer"

    def __init__(self, recipe: Recipe | None = None, config: "SegformerConfig | None" = None) -> None:
        """`config` states the sizes of the network, MiT-B0's by default; the classes are those of the pairs."""
        self.recipe = Recipe(learning_rate=2e-4) if recipe is None else recipe
        self.config = config

    def train(self, real: Pairs | None, extra: Pairs | None, seed: int) -> NetworkSegmenter:
        """See `Trainer`."""
        some = real if real is not None else extra
        if some is None:
            raise WetgenError("There is nothing to train on.", why="no pairs were given.", fix="give some pairs.")
        if some.size % COARSEST:
            raise WetgenError(
                f"SegFormer cannot take pictures of {some.size} pixels a side.",
                why=f"its last stage sees squares of {COARSEST} pixels.",
                fix=f"choose a multiple of {COARSEST} with --size.",
            )
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            network = Segformer(self._config(len(some.table)))
        return fit(network, real, extra, self.recipe, seed)

    def _config(self, classes: int) -> "SegformerConfig":
        try:
            from transformers import SegformerConfig
        except ImportError as error:
            raise missing("transformers", extra="eval", needed_to="train a SegFormer") from error
        given = {} if self.config is None else self.config.to_dict()
        return SegformerConfig.from_dict({**given, "num_labels": classes})
