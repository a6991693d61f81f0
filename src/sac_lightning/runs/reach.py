"""Which modules a name reaches: those of this package and of one's own that its module imports, at any depth.

One's own are those that are neither installed nor part of Python: they lie in the current folder, on PYTHONPATH,
or where an editable install says. No module is imported to find out.
"""

import ast
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

PACKAGE = "sac_lightning"
SOURCE = Path(__file__).parents[1]


def reachable_modules(names: Iterable[str]) -> set[str]:
    """Return the modules that names need, by their dotted names.

    Imports within functions count, those for type checkers alone do not.

    Args:
        names: Of modules, of what is defined in them, or public names of a room. Those of installed packages are
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
    if source_root(parts[0]) is None:
        return modules
    for end in range(1, len(parts) + 1):
        module = ".".join(parts[:end])
        if source_file(module) is not None:
            modules.append(module)
        elif parts[0] == PACKAGE:
            home = public_names(modules[-1]).get(parts[end - 1])
            return modules if home is None else modules_of(home)
    return modules


def imported_modules(module: str) -> list[str]:
    """Return the modules that a module imports itself; of this package's, only this package's."""
    path = source_file(module)
    assert path is not None
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    names = (
        # A dot for this package, another for each one around it.
        ".".join([*package[: len(package) - level + 1], name]) if level else name
        for level, name in _imported_names(source_of(module))
    )
    own = f"{PACKAGE}." if module.partition(".")[0] == PACKAGE else ""
    return [imported for name in names if f"{name}.".startswith(own) for imported in modules_of(name)]


def imports_the_unknown(names: Iterable[str]) -> bool:
    """Return whether one's own code needs a module that is nowhere, as where code changes the path of modules.

    What a ``try`` imports may be missing.

    Args:
        names: See reachable_modules.
    """
    return any(
        level == 0 and not _is_there(name.partition(".")[0])
        for module in reachable_modules(names)
        if module.partition(".")[0] != PACKAGE
        for level, name in {*_imported_names(source_of(module))} - {*_tried_imports(source_of(module))}
    )


def _is_there(top: str) -> bool:
    return top == PACKAGE or top in sys.stdlib_module_names or _find_spec(top) is not None


def source_of(module: str) -> bytes:
    """Return the source of a module that is there."""
    path = source_file(module)
    assert path is not None
    return path.read_bytes()


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
    """Return the file of a module of this package or of one's own; None if there is no such module."""
    top, *inner = module.split(".")
    root = source_root(top)
    if root is None:
        return None
    path = root.joinpath(*inner)
    candidates = (path / "__init__.py", path.with_name(f"{path.name}.py"))
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def source_root(top: str) -> Path | None:
    """Return the folder of a top-level package, or a module's file without ending; None of what is installed."""
    if top == PACKAGE:
        return SOURCE
    spec = _find_spec(top)
    place = None if spec is None else _place_of(spec)
    return None if place is None or _is_for_installed(place.parent) else place


def is_installed(top: str) -> bool:
    """Return whether a top-level package was installed, and is neither this one, one's own nor Python's."""
    spec = _find_spec(top)
    return spec is not None and source_root(top) is None


@cache
def _find_spec(top: str) -> ModuleSpec | None:
    """Return where a top-level package or module is; None for Python's own, and where there is none."""
    try:
        return None if top in sys.stdlib_module_names else find_spec(top)
    except (ImportError, ValueError):  # Such as __main__, and what is only a name.
        return None


def _place_of(spec: ModuleSpec) -> Path | None:
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return None if spec.origin is None else Path(spec.origin).with_suffix("")


@cache
def _is_for_installed(folder: Path) -> bool:
    """Return whether a folder is one that packages are installed to."""
    return not {"site-packages", "dist-packages"}.isdisjoint(folder.parts) or any(folder.glob("*.dist-info"))


@cache
def _imported_names(source: bytes) -> tuple[tuple[int, str], ...]:
    """Return the dotted names that a module imports, each with the number of its leading dots."""
    try:
        return tuple(_walk_imports(ast.parse(source).body))
    except (SyntaxError, ValueError):  # One's own may be broken: the run says so.
        return ()


@cache
def _tried_imports(source: bytes) -> tuple[tuple[int, str], ...]:
    """Return the names of _imported_names that stand in a ``try``."""
    try:
        tried = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Try) and node.handlers]
    except (SyntaxError, ValueError):
        return ()
    return tuple(name for node in tried for name in _walk_imports(node.body))


def _walk_imports(nodes: Iterable[ast.AST]) -> Iterator[tuple[int, str]]:
    """Yield the names that statements import, those within them included."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = f"{node.module}." if node.module else ""
            yield from ((node.level, f"{module}{alias.name}") for alias in node.names)
        elif isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            yield from _walk_imports(node.orelse)
        else:
            yield from _walk_imports(ast.iter_child_nodes(node))
