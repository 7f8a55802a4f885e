"""Turns prompts into token ids, with the tokenizer that training stored in the bundle."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wetgen.runtime.bundle.archive import read_stored
from wetgen.runtime.errors import WetgenError

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class PromptTooLong(WetgenError):
    """A prompt that the text encoder cannot read whole."""

    def __init__(self, prompt: str, *, tokens: int, length: int, cut: int) -> None:
        self.prompt = prompt
        super().__init__(
            f"A prompt is too long: {_shortened(prompt)!r}.",
            why=f"it has {tokens} tokens and the text encoder reads {length}; "
            f"{prompt[:cut].rstrip()!r} would be kept and {prompt[cut:].lstrip()!r} lost.",
            fix="write a shorter prompt, or allow the cut with --truncate (truncate=True).",
        )


class PromptTokenizer:
    """Gives token ids of a fixed length: begin and end tokens from the file's post-processor, the rest padding."""

    def __init__(self, file: Path, length: int) -> None:
        self.length = length
        self._tokenizer = _load(file)
        self._tokenizer.no_truncation()
        padding: dict[str, Any] = dict(_padding(self._tokenizer, file))
        self._tokenizer.enable_padding(**{**padding, "length": length, "pad_to_multiple_of": None})

    def encode(self, prompts: Sequence[str], *, truncate: bool = False) -> NDArray[np.int32]:
        """Token ids int32 (N, T). A prompt that is too long raises PromptTooLong, or loses its end with `truncate`."""
        rows = [self._encode(prompt, truncate) for prompt in prompts]
        return np.array(rows, dtype=np.int32).reshape(len(rows), self.length)

    def _encode(self, prompt: str, truncate: bool) -> list[int]:
        ids: list[int] = self._tokenizer.encode(prompt).ids
        if len(ids) <= self.length:
            return ids
        if not truncate:
            raise self._too_long(prompt, len(ids))
        return self._cut(prompt)

    def _cut(self, prompt: str) -> list[int]:
        """The ids of the part that fits, including begin and end tokens."""
        self._tokenizer.enable_truncation(self.length)
        try:
            ids: list[int] = self._tokenizer.encode(prompt).ids
        finally:
            self._tokenizer.no_truncation()
        return ids

    def _too_long(self, prompt: str, tokens: int) -> PromptTooLong:
        content = self._tokenizer.encode(prompt, add_special_tokens=False)
        room = self.length - self._tokenizer.num_special_tokens_to_add(False)
        cut = content.offsets[room][0]  # the first character of the first token that does not fit
        return PromptTooLong(prompt, tokens=tokens, length=self.length, cut=cut)


def _load(file: Path) -> "Tokenizer":
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise WetgenError(
            "tokenizers is needed to read prompts.",
            why="it is not installed in this environment, or does not load.",
            fix="pip install tokenizers",
        ) from error
    stored = read_stored(file)
    try:
        return Tokenizer.from_buffer(stored)
    except Exception as error:  # the package raises plain Exception
        raise WetgenError(
            f"{file} is not a tokenizer.", why=f"{error}.", fix="export the bundle again with wetgen-export."
        ) from error


def _padding(tokenizer: "Tokenizer", file: Path) -> dict[str, Any]:
    """The padding settings of the file, which name the token that fills the rest of a prompt."""
    if tokenizer.padding is None:
        raise WetgenError(
            f"{file} does not say how to pad prompts.",
            why="its padding settings are empty, and the text encoder was trained with one padding token.",
            fix="export the bundle again with the installed wetgen-export.",
        )
    return dict(tokenizer.padding)


def _shortened(prompt: str, limit: int = 60) -> str:
    return prompt if len(prompt) <= limit else prompt[:limit] + "..."
