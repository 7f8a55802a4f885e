"""What the published bindings have, read from their stubs, and classes that are held to it."""

import ast
import functools
import inspect
from enum import IntEnum
from importlib.machinery import ModuleSpec
from pathlib import Path

TYPINGS = Path(__file__).parents[1] / "typings"


class NotInTheBindings(AssertionError):
    """The code under test used something that the real package does not have."""


class Stub:
    """One stub file: module-level names, and for every class its members and the parameters of its methods."""

    def __init__(self, file):
        self.classes, self.names, self.functions = {}, set(), {}
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                self.classes[node.name] = node
                self.names.add(node.name)
            elif isinstance(node, ast.FunctionDef):
                self.functions.setdefault(node.name, []).append(node)
                self.names.add(node.name)
            elif isinstance(node, ast.AnnAssign):
                self.names.add(ast.unparse(node.target))

    def members(self, name):
        """The members of a class by name: a list of function nodes for a method, None for anything else."""
        own = {}
        for member in self.classes[name].body:
            if isinstance(member, ast.FunctionDef):
                plain = not any(ast.unparse(d).endswith(("property", ".setter")) for d in member.decorator_list)
                own.setdefault(member.name, []).append(member) if plain else own.__setitem__(member.name, None)
            elif isinstance(member, ast.AnnAssign):
                own[ast.unparse(member.target)] = None
            elif isinstance(member, ast.ClassDef):
                own[member.name] = None
        return own


def enums_of(stub):
    """Every enumeration of a stub, with its members in their order."""
    found = {}
    for name, node in stub.classes.items():
        members = [
            ast.unparse(member.target)
            for member in node.body
            if isinstance(member, ast.AnnAssign) and ast.unparse(member.annotation) == f"ClassVar[{name}]"
        ]
        if members:
            found[name] = IntEnum(name, members, start=0)
    return found


@functools.cache
def trt_stub(version):
    """The stub of TensorRT in that version."""
    return Stub(TYPINGS / f"tensorrt-{version}" / "tensorrt" / "__init__.pyi")


@functools.cache
def cuda_stub():
    """The stub of cuda.bindings.runtime."""
    return Stub(TYPINGS / "cuda" / "cuda" / "bindings" / "runtime.pyi")


def check_call(what, nodes, args, kwargs, *, bound):
    """Raise unless some overload of a stub takes a call; `bound` leaves out `self`."""
    for node in nodes:
        signature = _signature(node, bound)
        try:
            signature.bind(*args, **kwargs)
            return
        except TypeError:
            continue
    raise NotInTheBindings(f"{what} does not take {args} {kwargs}")


def _signature(node, bound):
    names = node.args.args[1:] if bound else node.args.args
    without = len(names) - len(node.args.defaults)
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [
        inspect.Parameter(arg.arg, kind, default=inspect.Parameter.empty if place < without else None)
        for place, arg in enumerate(names)
    ]
    return inspect.Signature(parameters)


def held_to(stub, name, label):
    """A class decorator: from outside, an object has what the stub's class `name` has, and nothing else.

    Members that begin with an underscore are the double's own.
    """
    members = stub.members(name)

    def decorate(cls):
        for attribute in vars(cls):
            assert attribute.startswith("_") or attribute in members, f"the double invents {label}.{attribute}"

        def read(self, attribute):
            if attribute.startswith("_"):
                return object.__getattribute__(self, attribute)
            if attribute not in members:
                raise NotInTheBindings(f"{label} has no '{attribute}'")
            value = object.__getattribute__(self, attribute)
            return _checked(value, members[attribute], f"{label}.{attribute}")

        def write(self, attribute, value):
            if not attribute.startswith("_") and attribute not in members:
                raise NotInTheBindings(f"{label} has no '{attribute}' to set")
            object.__setattr__(self, attribute, value)

        cls.__getattribute__, cls.__setattr__ = read, write
        return cls

    return decorate


def _checked(value, nodes, what):
    if nodes is None or not callable(value):
        return value

    @functools.wraps(value)
    def call(*args, **kwargs):
        check_call(what, nodes, args, kwargs, bound=True)
        return value(*args, **kwargs)

    return call


class StubbedModule:
    """Put into sys.modules: a module that has what the stub has, and nothing else."""

    def __init__(self, name, stub, contents):
        unknown = {key for key in contents if not key.startswith("__")} - stub.names
        assert not unknown, f"the double invents {name}.{unknown}"
        spec = ModuleSpec(name, None)
        self.__dict__.update(contents, __name__=name, __spec__=spec, __path__=[], _stub=stub, _label=name)

    def __getattr__(self, attribute):
        if attribute in self._stub.names:
            raise NotImplementedError(f"the double of {self._label} lacks '{attribute}'")
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        raise NotInTheBindings(f"{self._label} has no '{attribute}'")
