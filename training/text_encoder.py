"""The tokenizer trained on the captions, and the small CLIP text encoder over it."""

from collections.abc import Sequence

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel

from wetgen.training.config import TextConfig

PAD, START, END = "<pad>", "<start>", "<end>"


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
    tokenizer.enable_padding(pad_id=tokenizer.token_to_id(PAD), pad_token=PAD, length=config.tokens)
    tokenizer.enable_truncation(config.tokens)
    return tokenizer


def build(config: TextConfig, tokenizer: Tokenizer) -> CLIPTextModel:
    """An untrained text encoder."""
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


def token_ids(tokenizer: Tokenizer, texts: Sequence[str]) -> Tensor:
    """(B, T) int64 ids, padded and cut to the encoder's length."""
    return torch.tensor([encoding.ids for encoding in tokenizer.encode_batch(list(texts))])


def embed(encoder: CLIPTextModel, ids: Tensor) -> Tensor:
    """(B, T) ids to the (B, T, E) embedding the denoiser attends to."""
    embedding: Tensor = encoder(input_ids=ids).last_hidden_state
    return embedding
