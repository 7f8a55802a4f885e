"""Every message a user can read stands in one file, so that a change of wording is reviewed as a diff of sentences."""

import importlib.util
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parents[1] / "golden" / "messages.txt"


def collected() -> str:
    spec = importlib.util.spec_from_file_location("messages", Path(__file__).with_name("messages.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return str(module.collect())


def test_the_messages_are_those_that_were_reviewed(request: pytest.FixtureRequest) -> None:
    found = collected()
    if request.config.getoption("--update-golden"):
        GOLDEN.write_text(found, encoding="utf-8")
    assert found.splitlines() == GOLDEN.read_text(encoding="utf-8").splitlines(), (
        "messages changed: review them, then `pytest tests/guards/test_messages.py --update-golden`"
    )


def test_the_collection_sees_errors_help_texts_and_commands() -> None:
    found = collected()
    assert "- Another seed, other scenes." in found  # a help text
    assert "run: " in found  # a command
    assert "{path} cannot be read." in found  # what an error fills in
    assert len(found.splitlines()) > 500
