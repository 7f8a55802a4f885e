"""Collects every message that a user can read, by walking the source: errors, help texts and lines that are printed.

python tests/guards/messages.py    prints them all
"""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FLOORS = ("runtime", "training", "export", "benchmarks")
SPEAKERS = {
    "WetgenError",
    "missing",
    "UsageError",
    "BadParameter",
    "ClickException",
    "echo",
    "secho",
    "line",
    "say",
    "_say",
    "_error",
}
OPTIONS = {"option", "argument", "version_option", "group", "command"}


def collect() -> str:
    """All messages, file by file; what is filled in when a message is made stands in braces."""
    parts = []
    for floor in FLOORS:
        for path in sorted((ROOT / floor).rglob("*.py")):
            found = list(dict.fromkeys(_messages(ast.parse(path.read_text(encoding="utf-8")))))
            if found:
                parts.append("\n".join([f"# {path.relative_to(ROOT).as_posix()}", *found]))
    return "\n\n".join(parts) + "\n"


def _messages(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _name(node.func) in SPEAKERS:
            yield from _said([*node.args, *(keyword.value for keyword in node.keywords)])
        elif isinstance(node, ast.Call) and _name(node.func) in OPTIONS:
            yield from _said([keyword.value for keyword in node.keywords if keyword.arg in ("help", "epilog")])
        elif isinstance(node, ast.FunctionDef) and any(_is_command(d) for d in node.decorator_list):
            yield f"{node.name}: " + " ".join((ast.get_docstring(node) or "").split())


def _said(values: list[ast.expr]) -> Iterator[str]:
    for value in values:
        text = _text(value)
        if text is not None and " " in text.strip():
            yield "- " + " ".join(text.split())


def _text(value: ast.expr) -> str | None:
    """The text of a string, with what is filled in as its source in braces; None for what is no text."""
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        return value.value
    if isinstance(value, ast.JoinedStr):
        return "".join(_part(part) for part in value.values)
    if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add):
        left, right = _text(value.left), _text(value.right)
        return None if left is None and right is None else (left or "{...}") + (right or "{...}")
    if isinstance(value, ast.IfExp):
        return " | ".join(text for text in (_text(value.body), _text(value.orelse)) if text is not None) or None
    return None


def _part(part: ast.expr) -> str:
    if isinstance(part, ast.Constant):
        return str(part.value)
    assert isinstance(part, ast.FormattedValue)
    return "{" + ast.unparse(part.value) + "}"


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _is_command(decorator: ast.expr) -> bool:
    call = decorator.func if isinstance(decorator, ast.Call) else decorator
    return _name(call) in ("command", "group")


if __name__ == "__main__":
    print(collect(), end="")
