"""BigQuery as the privacy commands ask it: statements with parameters, errors that quote no row.

What belongs together is one query of several statements between ``begin transaction`` and ``commit
transaction``: BigQuery rolls it back when it fails or its process ends.
"""

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

from google.api_core import exceptions
from google.auth.exceptions import GoogleAuthError
from google.cloud import bigquery

from pbm.errors import ConfigurationError, ServiceError, UnreachableError
from pbm.settings import Settings

_TYPES: Final[Mapping[type, str]] = {
    int: "INT64",
    str: "STRING",
    datetime: "TIMESTAMP",
}

Value = str | int | datetime | Sequence[str] | Sequence[Mapping[str, Any]] | None


class BigQuery:
    """A project's BigQuery.

    Args:
        client: Google's client. Its project is where the datasets are.
    """

    def __init__(self, client: bigquery.Client) -> None:
        self._client = client

    @classmethod
    def of(cls, settings: Settings) -> "BigQuery":
        """The BigQuery of the settings' project, with the credentials of this machine.

        Raises:
            ConfigurationError: There are none.
        """
        try:
            client = bigquery.Client(
                project=settings.google_cloud_project, location=settings.bigquery_location
            )
        except GoogleAuthError:
            raise ConfigurationError(
                "There are no credentials for Google Cloud.",
                "Run `gcloud auth application-default login`.",
            ) from None
        return cls(client)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def rows(self, query: str, **parameters: Value) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        return list(self.each(query, **parameters))

    def each(self, query: str, **parameters: Value) -> Iterator[tuple[Any, ...]]:
        """The rows of a query, one after the other: there may be more than memory holds."""
        with _translated():
            for row in self._query(query, parameters).result():
                yield tuple(row.values())

    def run(self, *statements: str, **parameters: Value) -> None:
        """Run statements together: all of them, or none."""
        text = ";\n".join(["begin transaction", *statements, "commit transaction"])
        with _translated():
            self._query(f"{text};", parameters).result()

    def tables(self, *datasets: str) -> dict[str, set[str]]:
        """The columns of every table that is no view, by dataset and name; in order.

        A dataset that nothing has made yet has none.
        """
        found = {}
        with _translated():
            for dataset in datasets:
                try:
                    listed = list(self._client.list_tables(dataset))
                except exceptions.NotFound:
                    continue
                for one in listed:
                    if one.table_type == "TABLE":
                        schema = self._client.get_table(one.reference).schema
                        found[f"{dataset}.{one.table_id}"] = {column.name for column in schema}
        return dict(sorted(found.items()))

    def load(self, table: str, rows: Sequence[Mapping[str, str]]) -> None:
        """Add rows of text to a table, which is made if it is not there."""
        lines = "\n".join(json.dumps(row) for row in rows).encode()
        config = bigquery.LoadJobConfig(
            source_format=bigquery.SourceFormat.NEWLINE_DELIMITED_JSON,
            schema=[bigquery.SchemaField(name, "STRING") for name in rows[0]],
        )
        with _translated():
            self._client.load_table_from_file(
                io.BytesIO(lines), f"{self._client.project}.{table}", job_config=config
            ).result()

    def drop(self, table: str) -> None:
        """Drop a table, if it is there."""
        with _translated():
            self._client.delete_table(f"{self._client.project}.{table}", not_found_ok=True)

    def now(self) -> datetime:
        """The time by BigQuery's clock."""
        moment: datetime = self.rows("select current_timestamp()")[0][0]
        return moment

    def jobs_older_than(self, moment: datetime) -> int:
        """How many jobs, of anybody in the project, began before a moment and still run."""
        with _translated():
            return sum(
                1
                for _ in self._client.list_jobs(
                    all_users=True, state_filter="running", max_creation_time=moment
                )
            )

    def _query(self, text: str, parameters: Mapping[str, Value]) -> bigquery.QueryJob:
        config = bigquery.QueryJobConfig(
            query_parameters=[_parameter(name, value) for name, value in parameters.items()],
            labels={"application": "pbm-privacy"},
            use_query_cache=False,
        )
        return self._client.query(text, job_config=config)


def _parameter(name: str | None, value: Any) -> Any:  # noqa: ANN401  one of several types
    if isinstance(value, str | int | datetime):
        return bigquery.ScalarQueryParameter(name, _TYPES[type(value)], value)
    if value is None:
        return bigquery.ScalarQueryParameter(name, "STRING", None)
    if value and isinstance(value[0], Mapping):
        structs = [
            bigquery.StructQueryParameter(
                None, *(_parameter(field, one) for field, one in row.items())
            )
            for row in value
        ]
        return bigquery.ArrayQueryParameter(name, "STRUCT", structs)
    return bigquery.ArrayQueryParameter(name, "STRING", list(value))


@contextmanager
def _translated() -> Iterator[None]:
    """Turn what BigQuery refuses into errors that quote no value: its own messages may.

    Raises:
        ConfigurationError: A table or right is missing.
        UnreachableError: BigQuery does not answer.
        ServiceError: It refuses a statement.
    """
    try:
        yield
    except exceptions.NotFound:
        raise ConfigurationError(
            "BigQuery lacks a dataset or table that is needed.",
            "Apply Terraform (docs/deployment.md), and check GOOGLE_CLOUD_PROJECT and "
            "PBM_BIGQUERY_LOCATION.",
        ) from None
    except (GoogleAuthError, exceptions.Forbidden, exceptions.Unauthorized) as error:
        raise ConfigurationError(
            f"BigQuery does not allow this with these credentials ({type(error).__name__}).",
            "Act as the account pbm-privacy, as docs/privacy.md shows.",
        ) from None
    except (exceptions.ServerError, exceptions.RetryError, ConnectionError) as error:
        raise UnreachableError(
            f"BigQuery does not answer ({type(error).__name__}).",
            "Run the command again: what was committed is safe, and nothing else has changed.",
        ) from None
    except exceptions.GoogleAPICallError as error:
        if "streaming buffer" in str(error):
            raise ServiceError(
                "Rows that this would change were streamed within the last 90 minutes, and "
                "BigQuery does not change those yet.",
                "Nothing of this step was done. Run the command again in two hours.",
            ) from None
        raise ServiceError(
            f"BigQuery refused a statement ({type(error).__name__}).",
            "Nothing of this step was done. If a build runs, run the command again when it has "
            "ended; else look at the job in the console.",
        ) from None
