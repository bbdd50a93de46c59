"""Where in a pipeline each dbt test runs: once, after the last of the models that it looks at.

A test that looks at several models belongs to the one of them that is built last. So no test runs
before its models, none runs twice, and one that spans silver and gold runs in gold.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestration.layers import layer_of

Nodes = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class DataTests:
    """The data tests of a manifest, each in its place.

    Attributes:
        of_node: Ids of the tests that run after a model or seed, by its id.
        names: dbt's name of each test, by its id.
        waits_for: What a node's tests look at besides the node itself, by its id.
    """

    of_node: Mapping[str, tuple[str, ...]]
    names: Mapping[str, str]
    waits_for: Mapping[str, frozenset[str]]


def place(manifest: Mapping[str, Any]) -> DataTests:
    """Give each data test of a manifest its place."""
    nodes: Nodes = manifest["nodes"]
    order = _build_order(nodes)
    of_node: defaultdict[str, list[str]] = defaultdict(list)
    waits_for: defaultdict[str, set[str]] = defaultdict(set)
    names: dict[str, str] = {}
    for unique_id, node in sorted(nodes.items()):
        if node["resource_type"] != "test":
            continue
        read = node["depends_on"]["nodes"]
        # a test of nothing but sources goes with the first model that reads one of them
        built = [one for one in read if one in order] or [_first_reader(nodes, order, read)]
        home = max(built, key=order.__getitem__)
        of_node[home].append(unique_id)
        names[unique_id] = node["name"]
        waits_for[home].update(one for one in built if one != home)
    return DataTests(
        {home: tuple(tests) for home, tests in of_node.items()},
        names,
        {home: frozenset(others) for home, others in waits_for.items()},
    )


def _first_reader(nodes: Nodes, order: Mapping[str, int], sources: list[str]) -> str:
    readers = [one for one in order if set(_parents(nodes[one])) & set(sources)]
    if not readers:
        raise ValueError(f"No model reads {', '.join(sources)}, which a test looks at.")
    return min(readers, key=order.__getitem__)


def _build_order(nodes: Nodes) -> dict[str, int]:
    """A number for each model and seed, larger than those of all that is built before it."""
    parents = {
        unique_id: [one for one in _parents(node) if one in nodes]
        for unique_id, node in nodes.items()
        if node["resource_type"] in {"model", "seed"}
    }
    order: dict[str, int] = {}
    waiting = sorted(parents, key=lambda one: (layer_of(nodes[one]), one))
    while waiting:
        following = next(one for one in waiting if all(up in order for up in parents[one]))
        waiting.remove(following)
        order[following] = len(order)
    return order


def _parents(node: Mapping[str, Any]) -> list[str]:
    parents: list[str] = node["depends_on"].get("nodes", [])  # seeds have none
    return parents
