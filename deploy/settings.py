"""The only reader of the environment."""

import os
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from rules.errors import RedlineError
from streams.addresses import host_and_port, split_url
from streams.broker import Broker
from streams.security import MECHANISMS, PROTOCOLS, KafkaSecurity, Mechanism, Protocol

PREFIX = "REDLINE_"
CLICKHOUSE_SCHEMES = ("clickhouse", "clickhouses")
MIN_TOKEN_CHARS = 16
# Fields whose value may hold a password.
SECRET = frozenset(
    {
        "clickhouse",
        "desk_url",
        "desk_secret",
        "judge_key",
        "judge_url",  # refused for holding one
        "kafka_password",
        "kafka_key_password",
        "score_token",
    }
)

# Kubernetes gives every pod such variables for a Service named redline-…; nobody chose them.
_SERVICE_LINK = re.compile(
    r"_SERVICE_HOST$|_SERVICE_PORT(_\w+)?$|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?$"
)
_SERVICE_ADDRESS = ("tcp://", "udp://", "sctp://")


class SettingsError(RedlineError):
    """A setting has a wrong name or value; says which variable and what is expected."""


class Settings(BaseSettings):
    """
    Settings from `REDLINE_…` variables. Every field is one variable: `data_dir` is `REDLINE_DATA_DIR`.

    Secrets do not print. Paths are relative to the working directory. An empty
    variable counts as not set.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", env_ignore_empty=True)

    data_dir: Path = Field(
        default=Path(".redline"), description="where the embedded stores and promoted models live"
    )
    pack: Path | None = Field(
        default=None,
        description="rule pack folder, or the name of a shipped pack (cn, en); the Chinese one without it",
    )
    models: Path | None = Field(default=None, description="model store folder; DATA_DIR/models without it")
    use_model: bool = Field(default=True, description="false: judge by rules alone")
    model_may_deny: bool = Field(
        default=True,
        description="true: what only rules find and the model takes for next to impossible is undecided; false: it is flagged",
    )
    model_threads: int = Field(
        default=1, ge=1, le=64, description="messages that the encoder of one process reads at the same time"
    )
    model_check_s: float = Field(
        default=5.0, gt=0, description="seconds between looks for a newly promoted model or changed rules"
    )
    kafka: str = Field(default="127.0.0.1:9092", description="bootstrap servers, host:port[,host:port]")
    kafka_security: Protocol = Field(
        default="PLAINTEXT", description="how to connect to Kafka: " + ", ".join(PROTOCOLS)
    )
    kafka_ca: Path | None = Field(
        default=None,
        description="PEM file with the CA of the broker's certificate; the system's CAs without it",
    )
    kafka_cert: Path | None = Field(
        default=None, description="PEM file with redline's own certificate, for brokers that ask for one"
    )
    kafka_key: Path | None = Field(default=None, description="PEM file with the key of REDLINE_KAFKA_CERT")
    kafka_key_password: SecretStr | None = Field(default=None, description="password of an encrypted key")
    kafka_sasl: Mechanism = Field(
        default="SCRAM-SHA-512", description="how to sign in, with SASL: " + ", ".join(MECHANISMS)
    )
    kafka_user: str | None = Field(default=None, description="user name, with SASL")
    kafka_password: SecretStr | None = Field(default=None, description="password, with SASL")
    kafka_partitions: int = Field(
        default=4,
        ge=1,
        description="partitions of topics that redline creates: so many workers can share the work",
    )
    kafka_replication: int | None = Field(
        default=None,
        ge=1,
        description="copies of topics that redline creates; the cluster's default.replication.factor without it",
    )
    clickhouse: str | None = Field(
        default=None,
        repr=False,
        description="clickhouse://user:password@host:9000/database, clickhouses:// for TLS; SQLite without it",
    )
    desk_url: SecretStr | None = Field(
        default=None, description="SQLAlchemy URL of the desk store; SQLite without it"
    )
    desk_secret: SecretStr | None = Field(
        default=None, description="key that signs desk sessions; kept in DATA_DIR without it"
    )
    status: str | None = Field(
        default=None,
        description="host:port where a worker, sink or publish answers /health and /metrics; nowhere without it",
    )
    score_token: SecretStr | None = Field(
        default=None,
        min_length=MIN_TOKEN_CHARS,
        description=f"what 'score' asks callers for (Authorization: Bearer), at least {MIN_TOKEN_CHARS} characters; "
        "everybody may ask without it",
    )
    judge_url: str | None = Field(
        default=None,
        description="base URL (http://host:port/v1) of an OpenAI-compatible endpoint inside your network: undecided "
        "messages are sent there, and seed messages by the sample source paraphrase of train, retrain and ablate; "
        "no LLM judge without it",
    )
    judge_model: str | None = Field(
        default=None,
        validate_default=True,
        description="the model to ask there; needed with REDLINE_JUDGE_URL",
    )
    judge_key: SecretStr | None = Field(
        default=None, description="key of the endpoint (Authorization: Bearer); none without it"
    )
    judge_ca: Path | None = Field(
        default=None,
        description="PEM file with the CA of the endpoint's certificate; the system's CAs without it",
    )
    judge_timeout_s: float = Field(
        default=20.0, gt=0, le=600, description="seconds that one try of a question may take"
    )
    judge_queue: int = Field(
        default=500,
        ge=1,
        description="questions that wait at most; the oldest is dropped when one more comes",
    )
    judge_per_minute: int = Field(default=60, ge=1, description="most questions a minute, for each process")
    host: str = Field(default="127.0.0.1", description="address of the desk")
    port: int = Field(default=8000, ge=1, le=65535, description="port of the desk")

    @field_validator("kafka")
    @classmethod
    def _servers(cls, value: str) -> str:
        for server in value.split(","):
            host_and_port(server)
        return value

    @field_validator("status")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is not None:
            host_and_port(value)
        return value

    @field_validator("clickhouse")
    @classmethod
    def _clickhouse_url(cls, value: str | None) -> str | None:
        if value is not None:
            url = split_url(value)
            if url.scheme not in CLICKHOUSE_SCHEMES or not url.hostname:
                raise ValueError("no URL of a ClickHouse server")
        return value

    @field_validator("judge_url")
    @classmethod
    def _endpoint(cls, value: str | None) -> str | None:
        if value is not None:
            url = split_url(value)
            if url.scheme not in ("http", "https") or not url.hostname or url.query or url.fragment:
                raise ValueError("no http:// or https:// address")
            if url.username is not None or url.password is not None:
                raise ValueError("give the key in REDLINE_JUDGE_KEY, not in the address")
        return value

    @field_validator("judge_model")
    @classmethod
    def _model_and_endpoint(cls, value: str | None, info: ValidationInfo) -> str | None:
        url = info.data.get("judge_url", ...)  # absent when it was refused itself
        if url is not ... and (url is None) != (value is None):
            raise ValueError("set REDLINE_JUDGE_URL and REDLINE_JUDGE_MODEL both, or neither")
        return value

    @model_validator(mode="after")
    def _security_fits(self) -> Self:
        self._security()
        return self

    def _security(self) -> KafkaSecurity:
        return KafkaSecurity(
            protocol=self.kafka_security,
            ca_file=self.kafka_ca,
            cert_file=self.kafka_cert,
            key_file=self.kafka_key,
            key_password=_shown(self.kafka_key_password),
            mechanism=self.kafka_sasl,
            username=self.kafka_user,
            password=_shown(self.kafka_password),
        )

    @property
    def broker(self) -> Broker:
        """Kafka's addresses and how to connect."""
        return Broker(self.kafka, self._security())

    @property
    def status_address(self) -> tuple[str, int] | None:
        """Where a worker, sink or publish answers /health and /metrics."""
        return None if self.status is None else host_and_port(self.status)

    @property
    def scoring_token(self) -> str | None:
        """What callers of the scoring service have to bear; None: nothing."""
        return _shown(self.score_token)

    @property
    def judging_key(self) -> str | None:
        """What redline bears to the endpoint of the LLM judge; None: nothing."""
        return _shown(self.judge_key)

    @property
    def model_store_dir(self) -> Path:
        """Folder of the model store."""
        return self.models or self.data_dir / "models"

    @property
    def case_memory_path(self) -> Path:
        """File of the case memory: beside the models, where desk and workers both see it."""
        return self.model_store_dir / "case-memory.jsonl"

    @property
    def event_store_path(self) -> Path:
        """File of the embedded event store."""
        return self.data_dir / "events.sqlite"

    @property
    def desk_store_url(self) -> str:
        """URL of the desk store."""
        if self.desk_url:
            return self.desk_url.get_secret_value()
        return f"sqlite:///{self.data_dir / 'desk.sqlite'}"


@lru_cache(maxsize=1)
def load_settings() -> Settings:
    """
    Read the environment.

    Raises SettingsError naming every variable that is unknown or has a wrong value.
    """
    problems = list(_unknown(os.environ))
    settings: Settings | None = None
    try:
        settings = Settings()
    except ValidationError as error:
        problems += [_wrong(dict(item)) for item in error.errors(include_url=False)]
    if settings is None or problems:
        raise SettingsError("wrong settings:\n  " + "\n  ".join(problems))
    return settings


def variables() -> dict[str, str]:
    """Every variable with what it means."""
    return {
        f"{PREFIX}{name.upper()}": field.description or "" for name, field in Settings.model_fields.items()
    }


def _shown(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def _unknown(environment: Mapping[str, str]) -> Iterator[str]:
    known = variables()
    for name in sorted(environment):
        if not name.upper().startswith(PREFIX) or name.upper() in known:
            continue
        if _SERVICE_LINK.search(name) or environment[name].startswith(_SERVICE_ADDRESS):
            continue
        close = get_close_matches(
            name.upper().removeprefix(PREFIX), [k.removeprefix(PREFIX) for k in known], n=1
        )
        hint = f"did you mean {PREFIX}{close[0]}?" if close else f"there are {', '.join(known)}"
        yield f"{name}: no such setting; {hint}"


def _wrong(item: Mapping[str, Any]) -> str:
    if not item["loc"]:  # several settings that do not go together: all that can be is of Kafka
        said = item["msg"].removeprefix("Value error, ")
        return f"{PREFIX}KAFKA_…: {said} (see REDLINE_KAFKA_SECURITY and the settings after it)"
    field = str(item["loc"][0])
    hidden = field in SECRET or item["input"] is None or "@" in str(item["input"])  # behind a user's password
    given = "" if hidden else f"={item['input']}"
    hint = f" (expected: {Settings.model_fields[field].description})"
    if str(item["input"]).startswith(_SERVICE_ADDRESS):
        hint = " (Kubernetes set this for a Service of that name: set enableServiceLinks: false in the pod)"
    return f"{PREFIX}{field.upper()}{given}: {item['msg'].removeprefix('Value error, ')}{hint}"
