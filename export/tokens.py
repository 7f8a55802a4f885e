"""The tokenizer as the bundle stores it: with its padding, so that the runtime needs no other file."""

import json
from pathlib import Path

from tokenizers import Tokenizer

from wetgen.runtime.errors import WetgenError


def padded(tokenizer: Tokenizer, checkpoint: Path, length: int) -> Tokenizer:
    """The tokenizer with padding to `length`. Its own padding token, or the one tokenizer_config.json names.

    transformers keeps padding beside tokenizer.json and not in it. Raises WetgenError when neither says it.
    """
    if tokenizer.padding is not None:
        return tokenizer
    token = _pad_token(checkpoint / "tokenizer" / "tokenizer_config.json")
    identity = None if token is None else tokenizer.token_to_id(token)
    if identity is None:
        raise WetgenError(
            f"The tokenizer of {checkpoint} does not say how to pad prompts.",
            why="neither tokenizer.json nor tokenizer_config.json names a padding token that it knows.",
            fix='add "pad_token" to tokenizer/tokenizer_config.json.',
        )
    tokenizer.enable_padding(pad_id=identity, pad_token=token, length=length)
    return tokenizer


def _pad_token(config: Path) -> str | None:
    """The padding token's text; tokenizer_config.json holds it bare or as an object with its "content"."""
    if not config.is_file():
        return None
    token = json.loads(config.read_text(encoding="utf-8")).get("pad_token")
    return token.get("content") if isinstance(token, dict) else token
