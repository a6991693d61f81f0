"""The imports between modules: no circle between rooms, no long chain."""

from collections.abc import Iterable, Mapping
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

import sac_lightning

PACKAGE = "sac_lightning"
LONGEST_CHAIN = 15
Graph = Mapping[str, set[str]]


@pytest.fixture(scope="module")
def imports() -> Graph:
    """What each module imports of the package, late imports too, but not what only the type checker sees."""
    graph = grimp.build_graph(PACKAGE, exclude_type_checking_imports=True, cache_dir=None)
    ours = {module for module in graph.modules if module == PACKAGE or module.startswith(f"{PACKAGE}.")}
    return {module: graph.find_modules_directly_imported_by(module) & ours for module in ours}


def group(graph: Graph, groups: Mapping[str, str]) -> dict[str, set[str]]:
    """The graph of groups of modules, without what a group imports of itself."""
    grouped: dict[str, set[str]] = {}
    for module, imported in graph.items():
        grouped.setdefault(groups[module], set()).update(groups[other] for other in imported)
    return {name: others - {name} for name, others in grouped.items()}


def reach(graph: Graph, start: str) -> set[str]:
    """All that a module imports, directly or not."""
    found: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting += graph[module]
    return found


def circles(graph: Graph) -> list[set[str]]:
    """The groups of modules that import each other."""
    reached = {module: reach(graph, module) for module in graph}
    found = [{other for other in reached[module] if module in reached[other]} for module in sorted(graph)]
    return [circle for number, circle in enumerate(found) if circle and circle not in found[:number]]


def longest_chain(graph: Graph) -> list[str]:
    """The most modules of which each imports the next; a circle counts as one module."""
    names = {module: module for module in graph}
    for circle in circles(graph):
        names |= dict.fromkeys(circle, " = ".join(sorted(circle)))
    without = group(graph, names)
    chains: dict[str, list[str]] = {}
    for module in TopologicalSorter(without).static_order():
        below: Iterable[list[str]] = (chains[other] for other in sorted(without[module]))
        chains[module] = [module, *max(below, key=len, default=[])]
    return max(chains.values(), key=len)


def room_of(module: str) -> str:
    """The room of a module; one at the top of the package is a room by itself."""
    return ".".join(module.split(".")[:2])


def test_no_circle_between_rooms(imports: Graph) -> None:
    assert circles(group(imports, {module: room_of(module) for module in imports})) == []


def test_no_circle_between_modules(imports: Graph) -> None:
    assert circles(imports) == []


def test_chain_of_imports_is_short(imports: Graph) -> None:
    chain = longest_chain(imports)

    assert len(chain) <= LONGEST_CHAIN, " -> ".join(module.removeprefix(f"{PACKAGE}.") for module in chain)


def test_few_modules_at_the_top() -> None:
    assert len(list(Path(sac_lightning.__path__[0]).glob("*.py"))) <= 16


def test_circles_and_chains_are_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}

    assert circles(graph) == [{"b", "c"}]
    assert longest_chain(graph) == ["a", "b = c", "d"]
