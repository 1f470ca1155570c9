"""Typed settings: every setting with its default and its meaning.

A setting is read from the environment (`STREAMFLOW_PREDICT__PORT` sets `predict.port`), else from `stack.env` in the
home folder of a local stack; otherwise it keeps its default. Only entry points load all settings; a function takes the
section or the value that it needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError
from pydantic_settings.sources import DotEnvSettingsSource

from streamflow.errors import UsageError
from streamflow.settings.erasure import ErasureSettings as ErasureSettings
from streamflow.settings.erasure import RetentionSettings as RetentionSettings
from streamflow.settings.ingest import IngestSettings as IngestSettings
from streamflow.settings.lake import LakeSettings as LakeSettings
from streamflow.settings.mlflow import MlflowSettings as MlflowSettings
from streamflow.settings.monitoring import MonitoringSettings as MonitoringSettings
from streamflow.settings.predict import PredictSettings as PredictSettings
from streamflow.settings.prefect import PrefectSettings as PrefectSettings
from streamflow.settings.promotion import PromotionSettings as PromotionSettings
from streamflow.settings.request import RequestSettings as RequestSettings
from streamflow.settings.retrain import RetrainSettings as RetrainSettings
from streamflow.settings.section import Section, text_of
from streamflow.settings.spark import SparkSettings as SparkSettings
from streamflow.settings.tracing import TracingSettings as TracingSettings
from streamflow.settings.training import TrainingSettings as TrainingSettings

HOME_DEFAULT = Path(".streamflow")
STACK_FILE = "stack.env"
URL_PASSWORD = "STREAMFLOW_DATABASE_URL_PASSWORD"  # noqa: S105  # a name
"""Variable that holds the database's password in the form that a URL needs; not a setting."""


class DatabaseSettings(Section):
    """How to connect to PostgreSQL."""

    host: str = "127.0.0.1"
    """Host name of the PostgreSQL server."""
    port: int = Field(5432, ge=1, le=65535)
    """TCP port of the PostgreSQL server."""
    name: str = "streamflow"
    """Database with the source tables, the snapshots, the online store and Feast's registry."""
    user: str = "streamflow"
    """Role to log in as; on Kubernetes each component has its own."""
    password: SecretStr = SecretStr("")
    """Password of the role; `password_file` is safer."""
    password_file: Path | None = None
    """File with the password; overrides `password`."""
    sslmode: Literal["disable", "prefer", "require", "verify-ca", "verify-full"] = "prefer"
    """libpq's `sslmode` of every connection."""
    connect_timeout_seconds: int = Field(5, ge=1, le=60)
    """Longest wait for a connection before PostgreSQL counts as down, in seconds."""
    mlflow_name: str = "mlflow"
    """Database of the MLflow server, on the same PostgreSQL server."""
    prefect_name: str = ""
    """Database of Prefect's server, on the same PostgreSQL server, which `db prepare` creates; empty for none."""
    role_prefix: str = "streamflow_"
    """Prefix of every component's role (`streamflow_predict`), so that several installs can share a server."""
    install: str = ""
    """Name of this install. `db prepare` writes it on databases and roles, and refuses those of another install; empty
    neither writes nor checks it. On Kubernetes it is the namespace and the release."""

    @property
    def secret(self) -> str:
        """The password in plain text; a file is read each time, because Kubernetes updates mounted Secrets."""
        if self.password_file is None:
            return self.password.get_secret_value()
        return text_of(self.password_file, "STREAMFLOW_DATABASE__PASSWORD_FILE")

    @property
    def variables(self) -> dict[str, str]:
        """Environment variables that pass these settings to another process, and to `feature_store.yaml`.

        Feast substitutes variables in that file without escaping, so the password in a URL has a variable of its own.
        """
        secret = self.secret
        return {
            "STREAMFLOW_DATABASE__HOST": self.host,
            "STREAMFLOW_DATABASE__PORT": str(self.port),
            "STREAMFLOW_DATABASE__NAME": self.name,
            "STREAMFLOW_DATABASE__USER": self.user,
            "STREAMFLOW_DATABASE__PASSWORD": secret,
            "STREAMFLOW_DATABASE__SSLMODE": self.sslmode,
            URL_PASSWORD: quote(secret, safe=""),
        }

    @property
    def libpq(self) -> dict[str, str]:
        """Environment variables from which a program that is built on libpq takes these settings."""
        return {
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGDATABASE": self.name,
            "PGUSER": self.user,
            "PGPASSWORD": self.secret,
            "PGSSLMODE": self.sslmode,
            "PGCONNECT_TIMEOUT": str(self.connect_timeout_seconds),
        }

    def url(
        self, driver: str = "postgresql+psycopg", *, name: str | None = None, search_path: str = ""
    ) -> str:
        """SQLAlchemy URL; it names the driver, because SQLAlchemy 2.1 changed the default of `postgresql://`."""
        secret = self.secret
        auth = quote(self.user, safe="") + (f":{quote(secret, safe='')}" if secret else "")
        options = f"&options=-csearch_path%3D{quote(search_path, safe='')}" if search_path else ""
        return (
            f"{driver}://{auth}@{self.host}:{self.port}/{name or self.name}"
            f"?sslmode={self.sslmode}&connect_timeout={self.connect_timeout_seconds}{options}"
        )


class FeastSettings(Section):
    """Feature repo and Feast's feature server."""

    repo: Path = Path("feature_repo")
    """Folder with the feature definitions."""
    server_url: str = "http://127.0.0.1:6566"
    """URL of Feast's feature server."""
    api_keys_file: Path | None = None
    """File of API keys of scope `write`, with lines made by `streamflow keys new`; empty lets nobody write to Feast's
    feature server."""


class BackupSettings(Section):
    """Backups of the databases and of the model versions' files."""

    folder: Path = Path("backups")
    """Folder for backups, one subfolder per backup."""
    keep: int = Field(14, ge=1)
    """Number of backups to keep; older ones are deleted."""
    artifacts: bool = True
    """Whether a backup includes the model versions' files; without them a restored system cannot serve a model."""
    except_versions: tuple[int, ...] = ()
    """Model versions that are known to be lost: a backup is made although they, or files of theirs, are not in MLflow."""
    url: str = ""
    """Object store URL (`s3://…`) to which each backup is copied too, `keep` of them; empty for none."""


class ScoringSettings(Section):
    """Batch scores of all entities."""

    keep: int = Field(24, ge=1)
    """Number of newest scorings per model whose scores are kept; older scorings keep metadata only."""
    shards: int = Field(1, ge=1, le=100)
    """Number of processes that share the job `score`; each scores the entities of one shard, by a hash of the key."""
    shard: int = Field(0, ge=0)
    """Index of the shard that this process scores, from 0."""
    run: str = ""
    """Name of the scoring that the shards share, a new one for each scoring; required if there are several shards."""

    @model_validator(mode="after")
    def _names_a_shard(self) -> ScoringSettings:
        if self.shard >= self.shards:
            raise ValueError(f"shard={self.shard} is not below shards={self.shards}")
        if self.shards > 1 and not self.run:
            raise ValueError(f"shards={self.shards} needs run, the name that all of them share")
        return self


class JobsSettings(Section):
    """Runs of jobs, and their history."""

    after: tuple[str, ...] = ()
    """Jobs to wait for while they run, before a job takes up its work."""

    history_days: int = Field(90, ge=1)
    """Days that the result of a job run is kept; the newest result of each job is never deleted."""
    history_least_days: int = Field(7, ge=1)
    """Shortest time that PostgreSQL keeps results of job runs, in days; no job can shorten it. Set by `db prepare`."""

    @model_validator(mode="after")
    def _keeps_enough(self) -> JobsSettings:
        if self.history_days < self.history_least_days:
            raise ValueError(
                f"history_days={self.history_days} is less than history_least_days={self.history_least_days}"
            )
        return self


class ParitySettings(Section):
    """Job that compares batch scores with `/predict`."""

    sample: int = Field(200, ge=1)
    """Number of entities compared in each run."""
    url: str = ""
    """URL of the predict service; empty means `predict.host` and `predict.port`."""
    api_key: SecretStr = SecretStr("")
    """API key for that service, if it requires one; `api_key_file` is safer."""
    api_key_file: Path | None = None
    """File with the API key; overrides `api_key`."""

    @cached_property
    def secret(self) -> str:
        """The API key in plain text; empty without one."""
        if self.api_key_file is None:
            return self.api_key.get_secret_value()
        return text_of(self.api_key_file, "STREAMFLOW_PARITY__API_KEY_FILE")


class LogSettings(Section):
    """Logging."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Lowest level that is logged."""
    format: Literal["auto", "json", "console"] = "auto"
    """Log format; `auto` means `console` on a terminal and `json` otherwise."""
    debug: bool = False
    """Whether commands log at level `debug` and print the traceback of an error."""


class BuildSettings(Section):
    """Where the running code comes from; recorded with every training run."""

    image: str = ""
    """Container image of this process, with its tag or digest; empty outside a container."""
    commit: str = ""
    """Git commit of the code in the image; empty takes the commit of the working directory."""


@dataclass(frozen=True)
class Backends:
    """Where PostgreSQL, MLflow and Feast are, for functions that need more than one of them.

    Attributes:
        database: How to connect to PostgreSQL.
        mlflow: MLflow's server, and the registered model.
        feast: Feature repo and Feast's feature server.
        lake: URL of the lake that has the rows of drops; "" if PostgreSQL has them.
    """

    database: DatabaseSettings
    mlflow: MlflowSettings
    feast: FeastSettings
    lake: str = ""


class Settings(BaseSettings):
    """All settings of StreamFlow."""

    model_config = SettingsConfigDict(
        env_prefix="STREAMFLOW_",
        env_nested_delimiter="__",
        extra="ignore",
        frozen=True,
        use_attribute_docstrings=True,
    )

    home: Path = HOME_DEFAULT
    """Folder with all state of a local stack."""
    engine: Literal["postgresql", "spark"] = "postgresql"
    """What stores the rows of drops and computes training sets, materializations and scores: PostgreSQL, or Spark over a
    lake of Parquet files."""
    database: DatabaseSettings = DatabaseSettings()
    lake: LakeSettings = LakeSettings()
    spark: SparkSettings = SparkSettings()
    mlflow: MlflowSettings = MlflowSettings()
    feast: FeastSettings = FeastSettings()
    ingest: IngestSettings = IngestSettings()
    backup: BackupSettings = BackupSettings()
    training: TrainingSettings = TrainingSettings()
    retrain: RetrainSettings = RetrainSettings()
    scoring: ScoringSettings = ScoringSettings()
    monitoring: MonitoringSettings = MonitoringSettings()
    jobs: JobsSettings = JobsSettings()
    promotion: PromotionSettings = PromotionSettings()
    request: RequestSettings = RequestSettings()
    predict: PredictSettings = PredictSettings()
    parity: ParitySettings = ParitySettings()
    tracing: TracingSettings = TracingSettings()
    erasure: ErasureSettings = ErasureSettings()
    retention: RetentionSettings = RetentionSettings()
    prefect: PrefectSettings = PrefectSettings()
    log: LogSettings = LogSettings()
    build: BuildSettings = BuildSettings()

    @model_validator(mode="after")
    def _has_a_lake(self) -> Settings:
        if self.engine == "spark" and not self.lake.url:
            raise ValueError("engine=spark needs lake.url, the folder or object store of the rows")
        return self

    @model_validator(mode="after")
    def _shares_a_scoring_once(self) -> Settings:
        if self.engine == "spark" and self.scoring.shards > 1:
            raise ValueError("engine=spark shares a scoring among its executors: set scoring.shards=1")
        return self

    @property
    def backends(self) -> Backends:
        """Where PostgreSQL, MLflow, Feast and the lake are."""
        return Backends(self.database, self.mlflow, self.feast, self.rows_in_lake)

    @property
    def rows_in_lake(self) -> str:
        """URL of the lake that has the rows of drops; "" if PostgreSQL has them."""
        return self.lake.url if self.engine == "spark" else ""

    @property
    def least_kept(self) -> dict[str, int]:
        """Days that PostgreSQL keeps each kind of evidence at least."""
        return {"predictions": self.predict.log_least_days, "job_runs": self.jobs.history_least_days}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order of precedence: explicit values, environment variables, the local stack's file."""
        home = init_settings().get("home") or env_settings().get("home") or HOME_DEFAULT
        stack = DotEnvSettingsSource(settings_cls, env_file=Path(home) / STACK_FILE)
        return init_settings, env_settings, stack


def load(**overrides: object) -> Settings:
    """Read the settings.

    Args:
        overrides: Top-level fields that override every other source.

    Raises:
        UsageError: A value has the wrong type or is out of range; the message names the variable.
    """
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except SettingsError as error:
        raise UsageError(
            f"A setting cannot be read: {error}.",
            hint='Correct the variable; a list is written as JSON: ["random_forest"].',
        ) from None
    except OSError as error:
        raise UsageError(
            f"The settings of the stack in {error.filename} cannot be read: {error.strerror}.",
            hint="Set STREAMFLOW_HOME to a folder that you may read.",
        ) from None
    except ValidationError as error:
        problems = tuple(
            f"STREAMFLOW_{'__'.join(str(part) for part in item['loc']).upper()}: {item['msg']}"
            for item in error.errors()
        )
        raise UsageError(
            "The settings are not valid.", details=problems, hint="Correct these variables."
        ) from None
