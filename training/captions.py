"""The captions of the photographs as token ids: where one has several, every sample draws one of them."""

from collections.abc import Sequence

import torch
from tokenizers import Tokenizer
from torch import Tensor

from wetgen.training.photos import Photo
from wetgen.training.text_encoder import token_ids


class Captions:
    """All captions of N photographs, encoded once."""

    def __init__(self, tokenizer: Tokenizer, photos: Sequence[Photo]) -> None:
        self.ids = token_ids(tokenizer, [caption for photo in photos for caption in photo.captions]).int()
        self.counts = torch.tensor([len(photo.captions) for photo in photos])
        self.first = self.counts.cumsum(0) - self.counts

    def pick(self, photos: Tensor, generator: torch.Generator) -> Tensor:
        """(B, T) int64 ids, for each photograph of (B,) those of one of its captions, all as likely."""
        counts = self.counts[photos]
        if (self.counts == 1).all():  # nothing to draw: runs on single captions keep their random numbers
            return self.ids[photos].long()
        which = (torch.rand(len(photos), generator=generator, dtype=torch.float64) * counts).long()
        return self.ids[self.first[photos] + which].long()
