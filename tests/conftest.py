"""What all tests share: the option that rewrites golden files."""

import os

import pytest

# On networks this small a second thread costs more than it brings, many times more on a busy machine.
os.environ["OMP_NUM_THREADS"] = "1"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="rewrite tests/golden/ with what the code gives; review the diff"
    )
