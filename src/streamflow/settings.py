"""The one typed settings object: every knob, its default and a sentence about it.

A setting is read from the environment (`STREAMFLOW_PREDICT__PORT` sets `predict.port`), else from
`stack.env` in the home folder of a local stack, else it keeps its default.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError
from pydantic_settings.sources import DotEnvSettingsSource

HOME_DEFAULT = Path(".streamflow")
STACK_FILE = "stack.env"
URL_PASSWORD = "STREAMFLOW_DATABASE_URL_PASSWORD"  # noqa: S105  # a name
"""Variable with the database's password as it stands in an URL; not a setting."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def _text_of(file: Path, variable: str) -> str:
    """A secret out of a file, without the blanks around it.

    Raises:
        UsageError: the file cannot be read.
    """
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        from streamflow.errors import UsageError

        raise UsageError(
            f"The secret in {file} cannot be read: {error}.", hint=f"Correct {variable}."
        ) from error


class DatabaseSettings(_Section):
    """Where PostgreSQL is, and as whom to log in."""

    host: str = "127.0.0.1"
    """Host name of the PostgreSQL server."""
    port: int = Field(5432, ge=1, le=65535)
    """TCP port of the PostgreSQL server."""
    name: str = "streamflow"
    """Database that holds source tables, snapshots, the online store and Feast's registry."""
    user: str = "streamflow"
    """Role to log in with; each component has its own on Kubernetes."""
    password: SecretStr = SecretStr("")
    """Password of the role; prefer `password_file`."""
    password_file: Path | None = None
    """File that holds the password; wins over `password`."""
    sslmode: Literal["disable", "prefer", "require", "verify-ca", "verify-full"] = "prefer"
    """libpq's sslmode for every connection."""
    connect_timeout_seconds: int = Field(5, ge=1, le=60)
    """How long to wait for a connection before PostgreSQL counts as down."""
    mlflow_name: str = "mlflow"
    """Database of the MLflow server, on the same PostgreSQL server."""
    role_prefix: str = "streamflow_"
    """Put before the name of every component's role (`streamflow_predict`), so that installs can share a server."""

    @property
    def secret(self) -> str:
        """The password in clear, from the file when one is named: read each time, because a mounted Secret changes."""
        if self.password_file is None:
            return self.password.get_secret_value()
        return _text_of(self.password_file, "STREAMFLOW_DATABASE__PASSWORD_FILE")

    @property
    def variables(self) -> dict[str, str]:
        """The environment that gives these settings to another process, and to `feature_store.yaml`.

        Feast puts variables into that file as they are, so what stands in an URL needs a form of its own.
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

    def url(
        self, driver: str = "postgresql+psycopg", *, name: str | None = None, search_path: str = ""
    ) -> str:
        """SQLAlchemy URL with the driver always named (a bare `postgresql://` changed its meaning in 2.1)."""
        secret = self.secret
        auth = quote(self.user, safe="") + (f":{quote(secret, safe='')}" if secret else "")
        options = f"&options=-csearch_path%3D{quote(search_path, safe='')}" if search_path else ""
        return (
            f"{driver}://{auth}@{self.host}:{self.port}/{name or self.name}"
            f"?sslmode={self.sslmode}&connect_timeout={self.connect_timeout_seconds}{options}"
        )


class MlflowSettings(_Section):
    """Tracking server and model registry."""

    tracking_uri: str = "http://127.0.0.1:5000"
    """Address of the MLflow server."""
    experiment: str = "streamflow"
    """Experiment that training runs are logged under."""
    registered_model: str = "streamflow_churn"
    """Name of the registered model; versions of it are the only models that may be served."""
    timeout_seconds: float = Field(10.0, gt=0)
    """How long one request to the registry may take."""


class FeastSettings(_Section):
    """The feature repository and Feast's feature server."""

    repo: Path = Path("feature_repo")
    """Folder with the feature definitions."""
    server_url: str = "http://127.0.0.1:6566"
    """Address of Feast's feature server."""


class IngestSettings(_Section):
    """How drops are checked."""

    max_bad_share: float = Field(0.05, ge=0, le=1)
    """Largest share of quarantined rows per file that a drop may have; above it the whole drop is refused."""
    chunk_rows: int = Field(50_000, ge=100)
    """Rows that are read, checked and copied at a time; bounds the memory."""
    inbox: str = "drops"
    """Folder or object-store URL (s3://…) in which drops arrive, one folder a date: 2024-01-31/*.csv."""


class BackupSettings(_Section):
    """Dumps of the databases and of the model versions' files."""

    folder: Path = Path("backups")
    """Folder that dumps are written to, one folder a dump."""
    keep: int = Field(14, ge=1)
    """Dumps that are kept; the oldest go first."""
    artifacts: bool = True
    """Dump the files of the model versions too, through MLflow; without them a restore serves no model."""


class TrainingSettings(_Section):
    """How a challenger is trained and judged."""

    seed: int = Field(42, ge=0)
    """Seed of the split, the cross-validation and the estimators."""
    holdout_share: float = Field(0.25, gt=0, lt=1)
    """Share of rows kept out of training, stratified by label."""
    folds: int = Field(5, ge=2)
    """Folds of the cross-validation that picks an estimator."""
    estimators: tuple[str, ...] = ("random_forest", "logistic_regression", "gradient_boosting")
    """Candidates out of `feature_repo/estimator.py`; the best cross-validated AUC wins."""
    threshold: float = Field(0.5, gt=0, lt=1)
    """Probability from which a user counts as churning."""
    golden_rows: int = Field(32, ge=1)
    """Rows stored with the model whose probabilities must reproduce before it is served."""
    threads: int = Field(2, ge=1)
    """Threads used for fitting; results do not depend on it."""


class ScoringSettings(_Section):
    """Scores of every entity."""

    keep: int = Field(24, ge=1)
    """Newest scorings of a model whose scores are kept; of older ones, that and of what they were made stays."""


class JobsSettings(_Section):
    """The record of jobs."""

    history_days: int = Field(90, ge=1)
    """Days after which the outcome of a job's run is forgotten; the newest one of each job stays."""


class PredictSettings(_Section):
    """The predict service."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(8000, ge=1, le=65535)
    """TCP port to listen on."""
    join_key: str = "user_id"
    """Name of the entity's key in requests; must be the join key of the served model's contract."""
    alias: str = "production"
    """Alias of the registered model that is served."""
    poll_seconds: float = Field(2.0, gt=0)
    """How often the registry is asked for a newly promoted version."""
    cache_dir: Path | None = None
    """Folder that keeps the last good release for starts without MLflow; none keeps nothing."""
    deadline_seconds: float = Field(2.0, gt=0)
    """Longest time a request may take before it is answered with 503."""
    max_queue: int = Field(1024, ge=1)
    """Requests that may wait for their batch; more are shed with 503 and Retry-After."""
    max_batch: int = Field(256, ge=1)
    """Most entities in one feature read and inference call."""
    max_request_entities: int = Field(1000, ge=1)
    """Most entities in one `/predict/batch` request; more get 413."""
    pool_size: int = Field(4, ge=1)
    """Connections to PostgreSQL per process."""
    require_newest_as_of: bool = True
    """Refuse features older than the newest as-of that was materialized for their view."""
    age_clock: Literal["newest_as_of", "wall"] = "newest_as_of"
    """What a feature's age is measured against: the newest materialized as-of, or the present time."""
    max_body_bytes: int = Field(1_048_576, ge=1024)
    """Largest request body; more gets 413."""
    receive_timeout_seconds: float = Field(10.0, gt=0)
    """Longest time for a request's headers, and again for its body, to arrive; a slower body gets 408."""
    log_share: float = Field(0.1, ge=0, le=1)
    """Share of answers that are kept in the log of predictions; 0 keeps none."""
    log_retention_days: int = Field(30, ge=1)
    """Days after which the log of predictions forgets."""
    canary_share: float = Field(0.1, ge=0, le=1)
    """Share of entities that the version behind the alias `canary` answers, if there is one."""
    api_keys_file: Path | None = None
    """File of API keys (`streamflow keys new` makes lines for it); none asks for no key."""
    access_log: bool = False
    """Log every request; otherwise only those answered with 5xx."""
    drain_seconds: float = Field(5.0, ge=0)
    """How long to keep answering, with `Connection: close`, after SIGTERM."""


class PromotionSettings(_Section):
    """What may be promoted, and by whom."""

    policy: Literal["automatic", "manual"] = "automatic"
    """Whether a scheduled training that passes the gate is promoted to production, or waits at staging."""
    outside_moves: Literal["accept", "revert"] = "accept"
    """What happens to an alias that was moved in MLflow past StreamFlow, after it was recorded."""
    improvement: Literal["minimum", "fresher"] = "minimum"
    """What a challenger must be: better by `min_improvement`, or, with `fresher`, not worse and trained on newer data."""
    min_improvement: float = Field(0.01, ge=0, le=1)
    """Least difference of AUC to the champion on the same rows; below zero by less counts as not worse."""
    calibration_tolerance: float = Field(0.02, ge=0, le=1)
    """By how much the calibration error may exceed the champion's."""
    slice_floor: float = Field(0.5, ge=0, le=1)
    """Least AUC in every slice that has enough rows."""
    slice_tolerance: float = Field(0.1, ge=0, le=1)
    """By how much the AUC of a slice may be below the champion's."""
    latency_budget_ms: float = Field(20.0, gt=0)
    """Longest time of 99 of 100 single answers of the model alone, in milliseconds of CPU."""


class ParitySettings(_Section):
    """The job that compares the batch path with `/predict`."""

    sample: int = Field(200, ge=1)
    """Entities that are compared each time."""
    url: str = ""
    """Address of the predict service that is asked; empty means `predict.host` and `predict.port`."""
    api_key: SecretStr = SecretStr("")
    """API key for that service, when it wants one; prefer `api_key_file`."""
    api_key_file: Path | None = None
    """File that holds the API key; wins over `api_key`."""

    @cached_property
    def secret(self) -> str:
        """The API key in clear, from the file when one is named; empty without a key."""
        if self.api_key_file is None:
            return self.api_key.get_secret_value()
        return _text_of(self.api_key_file, "STREAMFLOW_PARITY__API_KEY_FILE")


class LogSettings(_Section):
    """Logs."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe level that is written."""
    format: Literal["auto", "json", "console"] = "auto"
    """`json` lines, human `console` lines, or console only on a terminal."""


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
    """Folder in which a local stack keeps all of its state."""
    database: DatabaseSettings = DatabaseSettings()
    mlflow: MlflowSettings = MlflowSettings()
    feast: FeastSettings = FeastSettings()
    ingest: IngestSettings = IngestSettings()
    backup: BackupSettings = BackupSettings()
    training: TrainingSettings = TrainingSettings()
    scoring: ScoringSettings = ScoringSettings()
    jobs: JobsSettings = JobsSettings()
    promotion: PromotionSettings = PromotionSettings()
    predict: PredictSettings = PredictSettings()
    parity: ParitySettings = ParitySettings()
    log: LogSettings = LogSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Explicit values, then the environment, then the local stack's file."""
        home = init_settings().get("home") or env_settings().get("home") or HOME_DEFAULT
        stack = DotEnvSettingsSource(settings_cls, env_file=Path(home) / STACK_FILE)
        return init_settings, env_settings, stack


def load(**overrides: object) -> Settings:
    """Read the settings; `overrides` are top-level fields that win over everything.

    Raises:
        UsageError: a value is of the wrong type or out of range; names the variable.
    """
    from pydantic import ValidationError

    from streamflow.errors import UsageError

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
