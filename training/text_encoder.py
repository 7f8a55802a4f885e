"""The text encoders over their tokenizers: one that a sentence encoder taught, one that only captions teach.

The taught one is a small ELECTRA-shaped network (Clark et al. 2020): its word vectors are narrower than its layers, so
that a large vocabulary stays small.
"""

import json
from collections.abc import Sequence
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, ElectraConfig, ElectraModel

from wetgen.training.config import TextConfig

PAD, START, END = "<pad>", "<start>", "<end>"


class SentenceEncoder(ElectraModel):
    """Reads the padding off the token ids, so that it is asked with these alone."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, **more: Any) -> Any:
        if attention_mask is None:
            attention_mask = (input_ids != self.config.pad_token_id).long()
        return super().forward(input_ids=input_ids, attention_mask=attention_mask, **more)


def train_tokenizer(captions: Sequence[str], config: TextConfig) -> Tokenizer:
    """Byte-level BPE over lower-cased captions: any text has tokens, none is unknown."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocabulary,
        special_tokens=[PAD, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(captions, trainer)
    ends = [(token, tokenizer.token_to_id(token)) for token in (START, END)]
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{START} $A {END}", special_tokens=ends)
    return _of_length(tokenizer, PAD, config.tokens)


def shrunk_tokenizer(large: Tokenizer, captions: Sequence[str], config: TextConfig) -> Tokenizer:
    """A WordPiece tokenizer with `config.vocabulary` ASCII tokens of `large`: those of the captions, then the first,
    that is the most frequent.

    Words that fell out are spelt with what stayed; every ASCII character stays.
    """
    settings = json.loads(large.to_str())
    special = [token["content"] for token in settings["added_tokens"] if token["content"] != "[MASK]"]
    ranked = [word for word, _ in sorted(settings["model"]["vocab"].items(), key=lambda item: item[1])]
    plain = [word for word in ranked if word.isascii() and not word.startswith("[")]
    characters = [word for word in plain if len(word.removeprefix("##")) == 1]
    used = {word for encoding in large.encode_batch(list(captions)) for word in encoding.tokens}
    spoken = [word for word in plain if word in used]
    kept = list(dict.fromkeys([*special, *characters, *spoken, *plain]))[: config.vocabulary]
    settings["model"]["vocab"] = {word: i for i, word in enumerate(kept)}
    settings["added_tokens"] = [
        {**token, "id": kept.index(token["content"])} for token in settings["added_tokens"] if token["content"] in kept
    ]
    for token in settings["post_processor"]["special_tokens"].values():
        token["ids"] = [kept.index(word) for word in token["tokens"]]
    return _of_length(Tokenizer.from_str(json.dumps(settings)), "[PAD]", config.tokens)


def _of_length(tokenizer: Tokenizer, pad: str, length: int) -> Tokenizer:
    tokenizer.enable_padding(pad_id=tokenizer.token_to_id(pad), pad_token=pad, length=length)
    tokenizer.enable_truncation(length)
    return tokenizer


def build(config: TextConfig, tokenizer: Tokenizer) -> CLIPTextModel:
    """An untrained text encoder, to be trained with the denoiser."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=tokenizer.get_vocab_size(),
            hidden_size=config.width,
            intermediate_size=4 * config.width,
            projection_dim=config.width,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            max_position_embeddings=config.tokens,
            pad_token_id=tokenizer.token_to_id(PAD),
            bos_token_id=tokenizer.token_to_id(START),
            eos_token_id=tokenizer.token_to_id(END),
        )
    )


def build_taught(config: TextConfig, tokenizer: Tokenizer) -> SentenceEncoder:
    """An untrained text encoder, to be taught by a sentence encoder."""
    return SentenceEncoder(
        ElectraConfig(
            vocab_size=tokenizer.get_vocab_size(),
            embedding_size=config.word_width,
            hidden_size=config.width,
            intermediate_size=config.inner_width,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            max_position_embeddings=config.tokens,
            type_vocab_size=1,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            pad_token_id=tokenizer.token_to_id("[PAD]"),
        )
    )


def token_ids(tokenizer: Tokenizer, texts: Sequence[str]) -> Tensor:
    """(B, T) int64 ids, padded and cut to the encoder's length."""
    return torch.tensor([encoding.ids for encoding in tokenizer.encode_batch(list(texts))])


def embed(encoder: nn.Module, ids: Tensor) -> Tensor:
    """(B, T) ids to the (B, T, E) embedding the denoiser attends to."""
    embedding: Tensor = encoder(input_ids=ids).last_hidden_state
    return embedding
