"""Without the packages of the extra, a command says what to install."""

import subprocess
import sys

import pytest

COMMANDS = {
    "split": ["photos", "--out", "split"],
    "eval": ["pairs", "--real", "photos", "--out", "report"],
    "judge": ["--real", "photos", "--bundle", "bundle", "--out", "judged"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_missing_package_is_named_with_its_extra(command: str) -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'scipy'): sys.modules[name] = None\n"
        "from wetgen.runtime.cli import cli\n"
        f"cli({[command, *COMMANDS[command]]})\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 1 and "pip install 'wetgen[eval]'" in result.stderr
    assert "Traceback" not in result.stderr
