"""Prompts as bare lines, without options: what an export verifies a bundle with."""

from typing import NamedTuple

from wetgen.runtime.prompts.source import decode, no_prompts, read_source, source_name


class Prompt(NamedTuple):
    """A prompt and the line of its file that it stands on, counted from 1."""

    line: int
    text: str


def read_prompts(source: str) -> list[Prompt]:
    """The prompts of a file, or of standard input for "-". Raises WetgenError when there are none or it is not text."""
    name, data = source_name(source), read_source(source)
    prompts = parse_prompts(data, name)
    if not prompts:
        raise no_prompts(name, "every line is blank or begins with #" if data.strip() else "it is empty")
    return prompts


def parse_prompts(data: bytes, name: str = "prompts") -> list[Prompt]:
    """The prompts in UTF-8 bytes, with or without a byte order mark."""
    text = decode(data, name)
    # Only \n ends a line: str.splitlines would also split at form feeds and at Unicode's own separators.
    lines = [Prompt(number, line.strip()) for number, line in enumerate(text.split("\n"), 1)]
    return [prompt for prompt in lines if is_prompt(prompt.text)]


def is_prompt(stripped: str) -> bool:
    """Whether a line asks for something: it is not blank and no comment."""
    return stripped != "" and not stripped.startswith("#")
