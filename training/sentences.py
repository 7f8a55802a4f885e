"""The sentence encoder that the text encoder learns from: all-MiniLM-L6-v2 (Wang et al. 2020; Apache-2.0).

It has read a billion pairs of sentences, so it places words that no caption uses near those that captions use. A
Python package ships it; only training needs it.
"""

import tempfile
import zipfile
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import BertConfig, BertModel

from wetgen.runtime.errors import missing


class SentenceTeacher(nn.Module):
    """The frozen sentence encoder and its tokenizer."""

    def __init__(self, bert: BertModel, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.bert, self.tokenizer = bert.eval().requires_grad_(False), tokenizer
        self.width: int = bert.config.hidden_size

    @torch.no_grad()
    def forward(self, ids: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        """Its own token ids (B, T) and where they are real (B, T) to token states (B, T, D) and sentences (B, D)."""
        states = self.bert(input_ids=ids, attention_mask=real.long()).last_hidden_state
        return states, sentence_of(states, real)


def sentence_of(states: Tensor, real: Tensor) -> Tensor:
    """Mean of the real tokens' states (B, T, D), of length 1 (Reimers and Gurevych 2019)."""
    weight = real.unsqueeze(2).to(states.dtype)
    mean = (states * weight).sum(1) / weight.sum(1)
    return nn.functional.normalize(mean, dim=1)


def load_teacher() -> SentenceTeacher:
    """all-MiniLM-L6-v2 out of its package."""
    try:
        with redirect_stdout(None):  # the package announces itself
            from all_minilm_l6_v2 import get_model_zip_path
    except ImportError as error:
        raise missing(str(error.name), extra="train", needed_to="teach the text encoder words") from error
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(get_model_zip_path()) as archive:
            archive.extractall(folder)
        bert = BertModel(BertConfig.from_pretrained(folder), add_pooling_layer=False)
        weights = load_file(Path(folder) / "model.safetensors")
        bert.load_state_dict({name: w for name, w in weights.items() if not name.startswith("pooler.")}, strict=False)
        return SentenceTeacher(bert, Tokenizer.from_file(str(Path(folder) / "tokenizer.json")))


def words_of(tokenizer: Tokenizer) -> list[str]:
    """The whole words of a WordPiece vocabulary, most frequent first: lower-case letters, three or more."""
    by_rank = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    return [word for word, _ in by_rank if word.isascii() and word.isalpha() and word.islower() and len(word) > 2]


class SentenceSource:
    """Draws the sentences that the text encoder learns on: captions, captions with words exchanged, and loose words."""

    def __init__(self, captions: Sequence[str], words: Sequence[str]) -> None:
        self.captions, self.words = list(captions), list(words)

    def __call__(self, count: int, generator: torch.Generator) -> list[str]:
        return [self._sentence(generator) for _ in range(count)]

    def _sentence(self, generator: torch.Generator) -> str:
        kind = float(torch.rand((), generator=generator))
        if kind < 0.35:
            return self._of(self.captions, generator)
        if kind < 0.65:
            return self._exchanged(self._of(self.captions, generator).split(), generator)
        words = [self._word(generator) for _ in range(1 + self._number(4, generator))]
        return self._of(FRAMES, generator).format(" ".join(words))

    def _exchanged(self, words: list[str], generator: torch.Generator) -> str:
        for _ in range(1 + self._number(3, generator)):
            words[self._number(len(words), generator)] = self._word(generator)
        return " ".join(words)

    def _word(self, generator: torch.Generator) -> str:
        """A word, the frequent ones oftener: rank by the square of an even draw."""
        return self.words[int(len(self.words) * float(torch.rand((), generator=generator)) ** 2)]

    def _of(self, choices: Sequence[str], generator: torch.Generator) -> str:
        return choices[self._number(len(choices), generator)]

    @staticmethod
    def _number(below: int, generator: torch.Generator) -> int:
        return int(torch.randint(below, (), generator=generator))


FRAMES = (
    "{}", "{}", "a {}", "the {}", "{} on the wall", "{} on a ceiling", "a floor with {}", "there is {} in the room",
    "no {}", "a wall without {}", "photo of {}", "{} and a crack", "{}, close up", "it shows {}",
)  # fmt: skip
