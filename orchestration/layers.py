"""The layers of the dbt project, as the pipelines build them: one after the other.

A layer is what one dbt command builds and tests. What a layer excludes has all tests excluded that
look at it, so that a test of silver and gold runs in gold; ``data_tests.py`` says the same of each
test by itself, and the tests of this package compare the two.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any


class Layer(IntEnum):
    """The layers, in the order in which they are built."""

    SILVER = 0
    GOLD = 1
    SERVING = 2
    SURVEYS = 3

    @property
    def select(self) -> list[str]:
        """What dbt is asked to build: seeds and the tests of sources come with silver."""
        return {
            Layer.SILVER: ["path:models/bronze", "path:seeds", "path:models/silver"],
            Layer.GOLD: ["path:models/gold"],
            Layer.SERVING: ["path:models/serving"],
            Layer.SURVEYS: ["tag:survey"],
        }[self]

    @property
    def exclude(self) -> list[str]:
        """What comes later, and every test that looks at it."""
        later = {
            Layer.SILVER: ["path:models/gold", "path:models/serving", "tag:survey"],
            Layer.GOLD: ["path:models/serving", "tag:survey"],
            Layer.SERVING: ["tag:survey"],
            Layer.SURVEYS: [],
        }
        return later[self]


def layer_of(node: Mapping[str, Any]) -> Layer:
    """The layer that builds a model or seed.

    Args:
        node: A node of dbt's manifest.

    Raises:
        ValueError: It lies in no layer's folder.
    """
    if "survey" in node["tags"]:
        return Layer.SURVEYS
    path = node["original_file_path"]
    folders = {
        "seeds/": Layer.SILVER,
        "models/silver/": Layer.SILVER,
        "models/gold/": Layer.GOLD,
        "models/serving/": Layer.SERVING,
    }
    for folder, layer in folders.items():
        if path.startswith(folder):
            return layer
    raise ValueError(f"{path} is in no folder that a pipeline builds: add it to Layer.")
