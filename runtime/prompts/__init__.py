"""Prompts files: one grammar for .txt, .csv and .jsonl (docs/prompts.md), from bytes to what each pair is to be.

Names are loaded when they are first used, so that a command's --help need not wait for them.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wetgen.runtime.prompts.ask import Ask as Ask
    from wetgen.runtime.prompts.asks import Asks as Asks
    from wetgen.runtime.prompts.asks import check_asks as check_asks
    from wetgen.runtime.prompts.asks import read_asks as read_asks
    from wetgen.runtime.prompts.plain import Prompt as Prompt
    from wetgen.runtime.prompts.plain import parse_prompts as parse_prompts
    from wetgen.runtime.prompts.plain import read_prompts as read_prompts
    from wetgen.runtime.prompts.quota import parse_quota as parse_quota
    from wetgen.runtime.prompts.source import resolve as resolve

_HOMES = {
    "Ask": "ask",
    "Asks": "asks",
    "Prompt": "plain",
    "check_asks": "asks",
    "parse_prompts": "plain",
    "parse_quota": "quota",
    "read_asks": "asks",
    "read_prompts": "plain",
    "resolve": "source",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
