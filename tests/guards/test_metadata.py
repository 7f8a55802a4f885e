"""What the package says of itself stands in several files; they agree."""

import re
from importlib.metadata import metadata
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def stated(key: str) -> str:
    found = re.search(rf'^{key} = "(.*)"$', PROJECT, re.MULTILINE)
    assert found, key
    return found[1]


def test_the_citation_names_the_version_and_the_licence_of_the_package() -> None:
    assert CITATION["version"] == stated("version") == metadata("wetgen")["Version"]
    assert CITATION["license"] == stated("license")


def test_the_licence_is_there_in_full() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text and "END OF TERMS AND CONDITIONS" in text


def test_classifiers_name_no_python_below_the_least_one() -> None:
    least = int(stated("requires-python").removeprefix(">=3."))
    versions = [int(minor) for minor in re.findall(r'"Programming Language :: Python :: 3\.(\d+)"', PROJECT)]
    assert versions and min(versions) == least
