"""Every setting of the platform, read from the environment in this one place."""

from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from pbm.errors import ConfigurationError

PROJECT_ROOT = Path(__file__).resolve().parent.parent
DEFAULT_HOME = PROJECT_ROOT / ".pbm"


def _none_if_blank(value: object) -> object:
    """An exported but empty variable means "not set", as in most shells' scripts."""
    return None if isinstance(value, str) and not value.strip() else value


_BlankIsNone = BeforeValidator(_none_if_blank)


class DataflowSettings(BaseSettings):
    """The stream in production; read from the environment variables ``PBM_DATAFLOW_…``."""

    model_config = SettingsConfigDict(env_prefix="PBM_DATAFLOW_", extra="ignore")

    job_name: str = Field(
        default="pbm-order-events", description="Name of the one streaming job; it is fixed."
    )
    region: str = Field(default="us-central1", description="Region of the job.")
    template: Annotated[str | None, _BlankIsNone] = Field(
        default=None, description="The Flex Template: gs://BUCKET/FOLDER/FILE.json."
    )
    pseudonym_key_secret: Annotated[str | None, _BlankIsNone] = Field(
        default=None,
        description="Secret of the pseudonym key: projects/P/secrets/NAME/versions/NUMBER.",
    )
    suppression_key_secret: Annotated[str | None, _BlankIsNone] = Field(
        default=None,
        description="Secret of the key of the list of erased patients, as above.",
    )
    undeliverable_topic: Annotated[str | None, _BlankIsNone] = Field(
        default=None, description="Topic for what no table takes: projects/P/topics/NAME."
    )
    service_account: Annotated[str | None, _BlankIsNone] = Field(
        default=None, description="E-mail address of the account that the workers run as."
    )
    subnetwork: Annotated[str | None, _BlankIsNone] = Field(
        default=None, description="Subnetwork of the workers, as an address or a path."
    )


class Settings(BaseSettings):
    """The settings, each from the environment variable that its field names.

    Fields take the prefix ``PBM_`` (``home`` is ``PBM_HOME``), but for those that other tools
    read too: ``PUBSUB_EMULATOR_HOST``, ``GOOGLE_CLOUD_PROJECT``, ``DBT_PROFILES_DIR``.
    """

    model_config = SettingsConfigDict(env_prefix="PBM_", extra="ignore", populate_by_name=True)

    home: Path = Field(
        default=DEFAULT_HOME,
        description="State of the local stack: databases, logs, the generated pseudonym key.",
    )
    postgres_dsn: Annotated[SecretStr | None, _BlankIsNone] = Field(
        default=None,
        description="PostgreSQL 16 or newer to use instead of the embedded one.",
    )
    pubsub_emulator_host: Annotated[str | None, _BlankIsNone] = Field(
        default=None,
        validation_alias=AliasChoices("PUBSUB_EMULATOR_HOST", "pubsub_emulator_host"),
        description="host:port of a running Pub/Sub emulator to use instead of our own.",
    )
    google_cloud_project: str = Field(
        default="pbm-local",
        validation_alias=AliasChoices("GOOGLE_CLOUD_PROJECT", "google_cloud_project"),
        description="Google Cloud project; any name will do for the emulator.",
    )
    pubsub_emulator_jar: Annotated[Path | None, _BlankIsNone] = Field(
        default=None,
        description="Google's emulator jar, where the Google Cloud CLI is not on the PATH.",
    )
    pseudonym_key: Annotated[SecretStr | None, _BlankIsNone] = Field(
        default=None,
        description="Key of the patient pseudonyms, 32 bytes of text at least.",
    )
    pseudonym_key_version: int = Field(default=1, ge=1, description="Version of that key.")
    suppression_key: Annotated[SecretStr | None, _BlankIsNone] = Field(
        default=None,
        description="Key of the list of erased patients, 32 bytes of text at least.",
    )
    dbt_profiles_dir: Annotated[Path | None, _BlankIsNone] = Field(
        default=None,
        validation_alias=AliasChoices("DBT_PROFILES_DIR", "dbt_profiles_dir"),
        description="Folder of the profiles.yml that dbt uses.",
    )
    schema_prefix: Annotated[str | None, _BlankIsNone] = Field(
        default=None,
        description="Prefix of the schemas, for developers who share a warehouse.",
    )
    looker_template_report: Annotated[str | None, _BlankIsNone] = Field(
        default=None,
        description="Id of a Looker Studio report to copy; a new one starts empty without it.",
    )
    dashboard_dsn: Annotated[SecretStr | None, _BlankIsNone] = Field(
        default=None,
        description="PostgreSQL for the dashboards, by a login that may only read; the stack's own "
        "login pbm_dashboard if not set.",
    )
    dashboard_manifest: Annotated[Path | None, _BlankIsNone] = Field(
        default=None,
        description="dbt's manifest.json, from which the dashboards explain their metrics; "
        "PBM_HOME/dashboard/manifest.json if not set.",
    )
    dashboard_sign_in: Literal["off", "oidc"] = Field(
        default="off",
        description="oidc: everybody signs in by the [auth] of .streamlit/secrets.toml.",
    )
    dashboard_quiet_seconds: int = Field(
        default=45, ge=5, description="After so long without a message a page says so."
    )
    dashboard_max_bytes_billed: int = Field(
        default=10 * 2**30, ge=1, description="A query on BigQuery that would scan more fails."
    )
    bigquery_location: str = Field(default="US", description="Where the datasets are.")
    orders_topic: str = Field(default="orders-topic", description="Topic of the order events.")
    orders_subscription: str = Field(
        default="orders-topic-sub", description="Subscription that ingestion reads."
    )

    dbt_target: Literal["local", "prod"] = Field(
        default="local",
        description="Where the platform runs: local is PostgreSQL, prod is Google Cloud.",
    )
    dbt_project_dir: Path = Field(
        default=PROJECT_ROOT,
        description="The dbt project that Airflow runs, with the manifest that was made of it.",
    )
    dbt_execution_mode: Literal["watcher", "local"] = Field(
        default="watcher",
        description="How Airflow runs dbt: once for a layer, or once for each model.",
    )
    airflow_database: Annotated[SecretStr | None, _BlankIsNone] = Field(
        default=None,
        description="SQLAlchemy's address of Airflow's database instead of one on the stack.",
    )
    airflow_retries: int = Field(
        default=3, ge=0, description="How often Airflow tries a task again that failed."
    )
    airflow_retry_seconds: float = Field(
        default=30, gt=0, description="How long before the first of these; then ever longer."
    )
    airflow_deadlines: bool = Field(
        default=False, description="Whether Airflow tells people of runs that end too late."
    )
    dataflow: DataflowSettings = Field(default_factory=DataflowSettings)

    @property
    def is_default_home(self) -> bool:
        """Whether the state lies in the project itself, where plain ``dbt`` finds it."""
        return self.home.resolve() == DEFAULT_HOME

    @property
    def on_google_cloud(self) -> bool:
        """Whether the platform runs on Google Cloud, rather than on this machine."""
        return self.dbt_target == "prod"

    @property
    def topic_path(self) -> str:
        """Full resource name of the orders topic."""
        return f"projects/{self.google_cloud_project}/topics/{self.orders_topic}"

    @property
    def subscription_path(self) -> str:
        """Full resource name of the orders subscription."""
        return f"projects/{self.google_cloud_project}/subscriptions/{self.orders_subscription}"


@cache
def load_settings() -> Settings:
    """Read the settings once per process.

    Raises:
        ConfigurationError: A variable does not hold what its setting needs.
    """
    try:
        settings = Settings()
    except ValidationError as error:
        # the input itself is not repeated: it may be a key
        first = error.errors(include_input=False, include_url=False)[0]
        field = str(first["loc"][0])
        name = field if field.isupper() else f"PBM_{field.upper()}"
        raise ConfigurationError(
            f"The environment variable {name} cannot be used: {first['msg']}.",
            f"Set {name} to a valid value or unset it.",
        ) from None
    settings.home = settings.home.expanduser().absolute()
    return settings
