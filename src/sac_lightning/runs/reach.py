"""Which modules of this package a name reaches: those that its module imports, at any depth."""

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

PACKAGE = "sac_lightning"
SOURCE = Path(__file__).parents[1]


def reachable_modules(names: Iterable[str]) -> set[str]:
    """Return the modules that names need, by their dotted names.

    Imports within functions count, those for type checkers alone do not.

    Args:
        names: Of modules, of what is defined in them, or public names of a room. Those of other packages are
            left out.
    """
    found: set[str] = set()
    waiting = [module for name in names for module in modules_of(name)]
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting += imported_modules(module)
    return found


def modules_of(name: str) -> list[str]:
    """Return what importing a dotted name runs: the packages around it and the module that defines it."""
    parts = name.split(".")
    modules: list[str] = []
    if parts[0] != PACKAGE:
        return modules
    for end in range(1, len(parts) + 1):
        module = ".".join(parts[:end])
        if source_file(module) is None:
            home = public_names(modules[-1]).get(parts[end - 1])
            return modules if home is None else modules_of(home)
        modules.append(module)
    return modules


@cache
def imported_modules(module: str) -> tuple[str, ...]:
    """Return the modules that a module imports itself."""
    path = source_file(module)
    assert path is not None
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return tuple(imported for name in _imported_names(tree.body) for imported in modules_of(name))


@cache
def public_names(package: str) -> dict[str, str]:
    """Return the public names of a room with the modules that define them, as its ``__init__.pyi`` lists them."""
    stub = SOURCE.joinpath(*package.split(".")[1:], "__init__.pyi")
    if not stub.is_file():
        return {}
    return {
        alias.name: f"{package}.{node.module}"
        for node in ast.parse(stub.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def source_file(module: str) -> Path | None:
    """Return the file of a module of this package; None if there is no such module."""
    path = SOURCE.joinpath(*module.split(".")[1:])
    candidates = (path / "__init__.py", path.with_suffix(".py"))
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _imported_names(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Yield the dotted names that statements import, those within them included."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            yield from _imported_names(node.orelse)
        else:
            yield from _imported_names(ast.iter_child_nodes(node))
