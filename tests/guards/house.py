"""The limits of the house, measured on whatever files there are: `python tests/guards/house.py` prints them as a table.

How far a reader has to walk for one prompt, which room of the runtime may import which, how long files are, and that
a public name means one thing. Exits with 1 where a figure is above its limit; `--list` shows what stands behind each.
"""

import ast
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType

ROOT = Path(__file__).resolve().parents[2]
FLOORS = ("runtime", "training", "export", "benchmarks")
GROUND, DOOR = "(ground)", "(door)"
DOORS = {"cli", "__init__", "__main__"}  # flat modules above all rooms; every other flat module is ground
LEVELS = (
    {GROUND},
    {"masks", "prompts"},
    {"bundle", "dataset"},
    {"engines", "layouts"},
    {"sampling"},
    {"inpaint"},
    {"run"},
    {"cluster", "serve"},
    {DOOR},
)
BESIDE_THE_DOOR = {"cluster", "serve"}  # ways in, as the command line is one: no floors of their own
MAY_IMPORT = {room: set().union(*LEVELS[:height]) for height, level in enumerate(LEVELS) for room in level}
LONG_FILES = {"runtime/cli.py"}  # files that may have more lines than the limit
LIMITS = {
    "files that one prompt passes through": 25,
    "moves between files, each function read once": 60,
    "floors inside runtime": 8,
    "arrows that the table of rooms does not allow": 0,
    "arrows of type checking that it does not allow": 0,
    "circles between rooms": 0,
    "circles between modules": 0,
    "files of more than 500 lines": 0,
    "lines of runtime": 16_500,
    "public names of two things": 0,
}
LINES = 500
_FUNCTION = 0x1  # CO_OPTIMIZED: code of functions has it, bodies of modules and classes have not


@dataclass(frozen=True)
class Figure:
    """A figure, the most it may be, and a line for each thing that stands behind it."""

    name: str
    value: int
    behind: list[str] = field(default_factory=list)

    @property
    def limit(self) -> int:
        return LIMITS[self.name]

    @property
    def kept(self) -> bool:
        return self.value <= self.limit


@dataclass(frozen=True)
class Arrow:
    """An import: the module that imports, the module that is imported, and the line."""

    importer: str
    imported: str
    line: int
    typing_only: bool
    at_top: bool


class House:
    """The source files below a root, parsed, and what they import of one another."""

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root
        self.files = {_module(path, root): path for floor in FLOORS for path in sorted((root / floor).rglob("*.py"))}
        self.lines = {name: path.read_text(encoding="utf-8").count("\n") for name, path in self.files.items()}
        self.trees = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in self.files.items()}
        self.arrows = sorted(
            {arrow for name in self.files for arrow in self._arrows(name)},
            key=lambda a: (a.importer, a.line, a.imported),
        )

    def shown(self, module: str) -> str:
        """The file of a module, from the root."""
        return self.files[module].relative_to(self.root).as_posix()

    def room(self, module: str) -> str:
        """The sub-package of runtime that a module lies in, the ground or the door."""
        _, floor, *rest = module.split(".")
        assert floor == "runtime", f"{module} is not in runtime"
        if len(rest) > 1 or (rest and self.files[module].name == "__init__.py"):
            return rest[0]
        return DOOR if not rest or rest[0] in DOORS else GROUND

    def _arrows(self, importer: str) -> Iterator[Arrow]:
        tree = self.trees[importer]
        checked = {
            id(inner)
            for node in ast.walk(tree)
            if _is_type_checking(node)
            for each in node.body
            for inner in ast.walk(each)
        }
        top = {id(node) for node in tree.body}
        for node in ast.walk(tree):
            for name in [*_imported(node), *(name for name in _named(node) if name in self.files)]:
                target = self._nearest(name)
                if target is not None and target != importer:
                    yield Arrow(importer, target, getattr(node, "lineno", 0), id(node) in checked, id(node) in top)

    def _nearest(self, name: str) -> str | None:
        """The module that an imported name is, or lies in."""
        while name not in self.files and "." in name:
            name = name.rpartition(".")[0]
        return name if name in self.files else None


def _module(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(("wetgen", *(parts[:-1] if parts[-1] == "__init__" else parts)))


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def _imported(node: ast.AST) -> Iterable[str]:
    """Names that an import statement names."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module:
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


def _named(node: ast.AST) -> Iterable[str]:
    """The module of a text "wetgen.floor.module:name", which code imports when it is needed."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        name = node.value.partition(":")[0]
        return [name] if name.count(".") > 1 else []
    return []


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Sets of more than one node that reach one another (Tarjan's algorithm)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        order[node] = low[node] = len(order)
        stack.append(node)
        for other in sorted(graph.get(node, ())):
            if other not in order:
                visit(other)
            if other in stack:
                low[node] = min(low[node], low[other])
        if low[node] == order[node]:
            members = [stack.pop()]
            while members[-1] != node:
                members.append(stack.pop())
            found.append(sorted(members))

    for node in sorted(graph):
        if node not in order:
            visit(node)
    return sorted(members for members in found if len(members) > 1)


def longest_chain(graph: Mapping[str, set[str]]) -> list[str]:
    """The longest chain of nodes, each importing the next; the nodes of a circle count one by one, in a row."""
    home = {node: tuple(members) for members in circles(graph) for node in members}
    best: dict[tuple[str, ...], list[str]] = {}

    def chain(group: tuple[str, ...]) -> list[str]:
        if group not in best:
            below = {home.get(other, (other,)) for node in group for other in graph.get(node, ())} - {group}
            best[group] = [*group, *max((chain(each) for each in sorted(below)), key=len, default=[])]
        return best[group]

    return max((chain(home.get(node, (node,))) for node in sorted(graph)), key=len, default=[])


def walk(root: Path = ROOT) -> list[tuple[str, str]]:
    """File and name of every runtime function that one prompt calls, in the order of their first calls."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(Path(__file__).resolve()), "--trace", folder, str(root / "runtime")]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)
        assert done.returncode == 0, done.stderr
        return [(file, name) for file, name in json.loads((Path(folder) / "calls.json").read_text())]


def _trace(folder: Path, runtime: Path) -> None:
    """Draw one pair in this process, all its threads under a profile function, and write what was called."""
    from wetgen.runtime.cli import cli

    (folder / "prompts.txt").write_text("a brown stain on a white ceiling\n")
    first: dict[CodeType, None] = {}
    within = f"{runtime}{os.sep}"

    def note(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_flags & _FUNCTION and code.co_filename.startswith(within):
            first.setdefault(code)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        cli(["run", "--prompts", "prompts.txt", "--out", "pairs", "--plan", "fast", "--threads", "1"])
    except SystemExit as end:
        assert end.code == 0, f"wetgen run ended with {end.code}"
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    assert len(list((folder / "pairs" / "images").glob("*.png"))) == 1
    # Comprehensions and lambdas are read with the function they stand in.
    named = [code for code in first if not code.co_name.startswith("<")]
    called = [(code.co_filename.removeprefix(within), code.co_name) for code in named]
    (folder / "calls.json").write_text(json.dumps(called))


def walk_figures(calls: list[tuple[str, str]]) -> list[Figure]:
    """How many files one prompt passes through, and how often a reader opens one; the first counts, too."""
    assert calls, "no function of runtime was called"
    files = [file for file, _ in calls]
    opened = [file for before, file in zip([None, *files], files, strict=False) if file != before]
    counted = Counter(opened)
    return [
        Figure("files that one prompt passes through", len(counted), sorted(counted)),
        Figure(
            "moves between files, each function read once",
            len(opened),
            [f"{n} x {f}" for f, n in counted.most_common()],
        ),
    ]


def room_figures(house: House) -> list[Figure]:
    """Floors, arrows that the table does not allow, and circles, between the rooms of runtime."""
    inside = [
        arrow
        for arrow in house.arrows
        if arrow.importer.startswith("wetgen.runtime") and arrow.imported.startswith("wetgen.runtime")
    ]
    crossing = [arrow for arrow in inside if house.room(arrow.importer) != house.room(arrow.imported)]
    wrong = [a for a in crossing if house.room(a.imported) not in MAY_IMPORT.get(house.room(a.importer), set())]
    graph: dict[str, set[str]] = defaultdict(set)
    for arrow in crossing:
        if not arrow.typing_only:
            graph[house.room(arrow.importer)].add(house.room(arrow.imported))
    floors = longest_chain({room: below - BESIDE_THE_DOOR for room, below in graph.items()})
    told = [(arrow.typing_only, _told(house, arrow)) for arrow in wrong]
    return [
        Figure("floors inside runtime", len(floors), [" > ".join(floors)]),
        Figure(
            "arrows that the table of rooms does not allow",
            sum(not typing for typing, _ in told),
            [text for typing, text in told if not typing],
        ),
        Figure(
            "arrows of type checking that it does not allow",
            sum(typing for typing, _ in told),
            [text for typing, text in told if typing],
        ),
        Figure("circles between rooms", len(circles(graph)), [" <> ".join(members) for members in circles(graph)]),
    ]


def _told(house: House, arrow: Arrow) -> str:
    rooms = f"{house.room(arrow.importer)} > {house.room(arrow.imported)}"
    return f"{rooms}: {house.shown(arrow.importer)}:{arrow.line} imports {arrow.imported}"


def module_graph(house: House, within: str = "wetgen.", inside_functions: bool = True) -> dict[str, set[str]]:
    """What each module imports, imports for type checking left out."""
    graph: dict[str, set[str]] = defaultdict(set)
    for arrow in house.arrows:
        counts = not arrow.typing_only and (arrow.at_top or inside_functions)
        if counts and arrow.importer.startswith(within) and arrow.imported.startswith(within):
            graph[arrow.importer].add(arrow.imported)
    return graph


def size_figures(house: House) -> list[Figure]:
    """Files that are too long, and the lines of runtime, by room."""
    long = [(house.lines[name], house.shown(name)) for name in house.files if house.lines[name] > LINES]
    long = sorted((pair for pair in long if pair[1] not in LONG_FILES), reverse=True)
    rooms: Counter[str] = Counter()
    files: Counter[str] = Counter()
    for name in house.files:
        if name.startswith("wetgen.runtime"):
            rooms[house.room(name)] += house.lines[name]
            files[house.room(name)] += 1
    behind = [f"{room}: {lines:,} lines in {files[room]} files" for room, lines in rooms.most_common()]
    return [
        Figure("files of more than 500 lines", len(long), [f"{lines} {name}" for lines, name in long]),
        Figure("lines of runtime", rooms.total(), behind),
    ]


def public_names(tree: ast.Module) -> Iterator[str]:
    """Public classes and type aliases that a module defines at its top."""
    body = list(tree.body)
    while body:
        node = body.pop(0)
        if isinstance(node, (ast.If, ast.Try)):
            body += [*node.body, *node.orelse]
        name = _defined(node)
        if name is not None and not name.startswith("_"):
            yield name


def _defined(node: ast.stmt) -> str | None:
    """The name of a class or of a type alias, however that is written."""
    if isinstance(node, ast.ClassDef):
        return node.name
    if type(node).__name__ == "TypeAlias":  # `type Name = ...`, which Python 3.10 cannot parse
        return str(node.name.id)  # type: ignore[attr-defined]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return node.target.id if ast.unparse(node.annotation).endswith("TypeAlias") else None
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        name = node.targets[0].id
        return name if name[0].isupper() and not name.isupper() and _is_type(node.value) else None
    return None


def _is_type(value: ast.expr) -> bool:
    """Whether an expression can be a type: Name, module.Name, Name[...], A | B, NewType(...)."""
    if isinstance(value, ast.Subscript):
        return _is_type(value.value)
    if isinstance(value, ast.BinOp) and isinstance(value.op, ast.BitOr):
        return _is_type(value.left) or _is_type(value.right)
    if isinstance(value, ast.Call):
        return ast.unparse(value.func).rpartition(".")[2] in ("NewType", "NamedTuple", "TypedDict")
    return isinstance(value, (ast.Name, ast.Attribute))


def name_figures(house: House) -> list[Figure]:
    """Public classes and type aliases whose name stands for two things."""
    homes: dict[str, list[str]] = defaultdict(list)
    for module, tree in house.trees.items():
        for name in sorted(set(public_names(tree))):
            homes[name].append(house.shown(module))
    shared = sorted(((name, where) for name, where in homes.items() if len(where) > 1), key=lambda pair: -len(pair[1]))
    behind = [f"{name} {len(where)}: {', '.join(where)}" for name, where in shared]
    return [Figure("public names of two things", len(shared), behind)]


def measure(root: Path = ROOT) -> list[Figure]:
    """Every figure that has a limit."""
    house = House(root)
    loops = circles(module_graph(house))
    found = [
        *walk_figures(walk(root)),
        *room_figures(house),
        Figure("circles between modules", len(loops), [" <> ".join(map(house.shown, members)) for members in loops]),
        *size_figures(house),
        *name_figures(house),
    ]
    assert {figure.name for figure in found} == set(LIMITS)
    return found


def table(figures: list[Figure], listed: bool) -> str:
    """The figures beside their limits, for people."""
    wide = max(len(figure.name) for figure in figures)
    rows = [f"{'':{wide}}   figure    limit"]
    for figure in figures:
        mark = "" if figure.kept else "   above"
        rows.append(f"{figure.name:{wide}}  {figure.value:>7,}  {figure.limit:>7,}{mark}")
        rows += [f"    {line}" for line in figure.behind if listed or figure.name == "lines of runtime"]
    return "\n".join(rows)


def others(root: Path = ROOT) -> str:
    """Figures without a limit that say how the runtime is built."""
    house = House(root)
    modules = [name for name in house.files if name.startswith("wetgen.runtime")]
    chains = [
        len(longest_chain(module_graph(house, "wetgen.runtime", inside_functions=inside))) for inside in (False, True)
    ]
    told = "runtime has {} files; the longest chain of modules has {} of them, {} with imports inside functions"
    return told.format(len(modules), *chains)


if __name__ == "__main__":
    if "--trace" in sys.argv:
        _trace(*map(Path, sys.argv[2:4]))
        sys.exit(0)
    measured = measure()
    print(table(measured, "--list" in sys.argv))
    print(others())
    sys.exit(0 if all(figure.kept for figure in measured) else 1)
