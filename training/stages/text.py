"""The text stage: the text encoder learns to read as a sentence encoder does, before the denoiser sees a word.

Token states and sentences of the teacher are the targets (TinyBERT, Jiao et al. 2020, eq. 8, without the middle
layers). Only captions would teach it the words of captions; the teacher places all others beside them.
"""

import torch
from accelerate import Accelerator
from tokenizers import Tokenizer
from torch import Tensor, nn

from wetgen.training.config import TrainConfig
from wetgen.training.data import Photos
from wetgen.training.loop import Stage, trainable
from wetgen.training.sentences import SentenceSource, SentenceTeacher, sentence_of, words_of
from wetgen.training.text_encoder import SentenceEncoder, token_ids

MEASURED = 512  # sentences that the spread of the teacher's states is measured on
VALIDATED = 512
SENTENCE_WEIGHT = 1.0


class Reader(nn.Module):
    """The text encoder and the linear map from its states to the teacher's, which only this stage needs."""

    def __init__(self, encoder: SentenceEncoder, width: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.config.hidden_size, width)

    def forward(self, ids: Tensor) -> Tensor:
        """Token ids (B, T) to what the teacher's states might be, (B, T, D)."""
        states: Tensor = self.head(self.encoder(input_ids=ids).last_hidden_state)
        return states


class TextStage(Stage):
    """Trains `encoder` in place."""

    name = "text"

    def __init__(
        self,
        encoder: SentenceEncoder,
        tokenizer: Tokenizer,
        teacher: SentenceTeacher,
        photos: Photos,
        config: TrainConfig,
        accelerator: Accelerator,
    ) -> None:
        self.config, self.accelerator, self.tokenizer = config, accelerator, tokenizer
        self.teacher = teacher.to(accelerator.device)
        self.budget, self.learning_rate = config.text.budget, config.text.learning_rate
        self.samples_per_step = config.text.batch * accelerator.num_processes
        ranked = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
        theirs = teacher.tokenizer.get_vocab()
        self.to_teacher = torch.tensor([theirs[word] for word, _ in ranked])
        words = words_of(tokenizer)
        self.source = SentenceSource(photos.captions, words)
        held = SentenceSource([said for photo in photos.validation for said in photo.captions], words)
        generator = torch.Generator().manual_seed(config.seed)
        self.held = held(VALIDATED, generator)
        states = self._targets(self._ids(self.source(MEASURED, generator)))[0]
        self.mean, self.spread = states.mean(0), states.std(0)
        reader = Reader(encoder, teacher.width).to(accelerator.device)
        optimiser = torch.optim.AdamW(trainable(reader), self.learning_rate, weight_decay=1e-2, fused=True)
        self.net, optimiser = accelerator.prepare(reader, optimiser)
        self.networks, self.optimisers, self.averaged = {"text": self.net}, {"text": optimiser}, reader

    def _ids(self, sentences: list[str]) -> Tensor:
        """Token ids (B, T), T the longest sentence's."""
        ids = token_ids(self.tokenizer, sentences)
        return ids[:, : int(self._real(ids).sum(1).max())].to(self.accelerator.device)

    def _real(self, ids: Tensor) -> Tensor:
        return ids != self.tokenizer.padding["pad_id"]

    def _targets(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """The teacher's states of the real tokens (R, D), and of the sentences (B, D)."""
        real = self._real(ids)
        states, sentences = self.teacher(self.to_teacher.to(ids.device)[ids], real)
        return states[real], sentences

    def step(self, generator: torch.Generator, share: float) -> dict[str, Tensor]:
        parts = self._errors(self.net, self._ids(self.source(self.config.text.batch, generator)))
        loss = parts["tokens"] + SENTENCE_WEIGHT * parts["sentence"]
        optimiser = self.optimisers["text"]
        optimiser.zero_grad()
        self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(trainable(self.averaged), self.config.gradient_clip)
        optimiser.step()
        return {"loss": loss.detach(), **{name: value.detach() for name, value in parts.items()}}

    def _errors(self, net: nn.Module, ids: Tensor) -> dict[str, Tensor]:
        """Mean squared error of token states in units of their variance; 1 - cosine of sentences."""
        states, sentences = self._targets(ids)
        read = net(ids).float()
        drawn, real = read * self.spread + self.mean, self._real(ids)
        return {
            "tokens": (read[real] - (states - self.mean) / self.spread).square().mean(),
            "sentence": 1 - (sentence_of(drawn, real) * sentences).sum(1).mean(),
        }

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        return {name: float(value) for name, value in self._errors(self.averaged, self._ids(self.held)).items()}


@torch.no_grad()
def start_words(encoder: SentenceEncoder, teacher: SentenceTeacher, tokenizer: Tokenizer) -> None:
    """Start the narrow word vectors as the principal components of the teacher's, at the encoder's own scale."""
    ranked = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    theirs = teacher.tokenizer.get_vocab()
    wide = teacher.bert.embeddings.word_embeddings.weight[[theirs[word] for word, _ in ranked]].double()
    wide = wide - wide.mean(0)
    own = encoder.embeddings.word_embeddings.weight
    _, _, components = torch.linalg.svd(wide, full_matrices=False)
    narrow = wide @ components[: own.shape[1]].T
    own.copy_(narrow / narrow.std() * own.std())
