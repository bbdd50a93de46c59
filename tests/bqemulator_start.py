"""Start the BigQuery emulator without its two loaders of extensions, which would download them."""

from unittest.mock import patch

from bqemulator.cli import main
from bqemulator.storage.engine import DuckDBEngine

if __name__ == "__main__":
    with (
        patch.object(DuckDBEngine, "_load_spatial"),
        patch.object(DuckDBEngine, "_load_format_extensions"),
    ):
        main()
