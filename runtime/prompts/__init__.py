"""Prompts files: .txt, .csv and .jsonl with one grammar (docs/prompts.md), from bytes to a request for each pair.

This room imports the ground files only. Start with read.py, which reads a file, then lines.py, which checks a line.
(Names are loaded when they are first used, so that a command's --help need not wait for them.)
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wetgen.runtime.prompts.lines import PromptRequest as PromptRequest
    from wetgen.runtime.prompts.quota import parse_quota as parse_quota
    from wetgen.runtime.prompts.read import Prompt as Prompt
    from wetgen.runtime.prompts.read import PromptFile as PromptFile
    from wetgen.runtime.prompts.read import check_prompt_file as check_prompt_file
    from wetgen.runtime.prompts.read import parse_prompts as parse_prompts
    from wetgen.runtime.prompts.read import read_prompt_file as read_prompt_file
    from wetgen.runtime.prompts.read import read_prompts as read_prompts
    from wetgen.runtime.prompts.read import resolve as resolve

_HOMES = {
    "PromptRequest": "lines",
    "PromptFile": "read",
    "Prompt": "read",
    "check_prompt_file": "read",
    "parse_prompts": "read",
    "parse_quota": "quota",
    "read_prompt_file": "read",
    "read_prompts": "read",
    "resolve": "read",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
