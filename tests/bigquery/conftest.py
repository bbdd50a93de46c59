"""The engine that the tests of this folder share."""

import pytest

from tests.bigquery.zetasql_engine import ZetaSql


@pytest.fixture(scope="session")
def engine(request: pytest.FixtureRequest) -> ZetaSql:
    """ZetaSQL; what compiling it takes half a minute for is kept for the next run."""
    cache = request.config.cache
    assert cache is not None
    return ZetaSql(cache.mkdir("zetasql"))
