"""Every setting, read once from REFI_* (environment, or a .env file). Embedded choices are named first."""

import os
from datetime import timedelta
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, ModelWrapValidatorHandler, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from backend.kernel.errors import Invalid

LOCAL_CHAIN_IDS = frozenset({31337, 42069})
# MiFIR (Regulation (EU) 600/2014), article 25(1): how long data of orders and transactions are kept; two leap days.
FIVE_YEARS = timedelta(days=1_827)
DATABASES = ("sqlite+aiosqlite:", "postgresql+asyncpg:")


class Settings(BaseSettings):
    """The whole configuration; production refuses what is only good for a laptop."""

    model_config = SettingsConfigDict(env_prefix="REFI_", env_file=".env", extra="ignore", frozen=True)

    environment: Literal["local", "production"] = "local"
    deployment: str = "local"
    state_dir: Path = Path(".refi")
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    # ports
    market_data: Literal["replay"] = "replay"
    broker: Literal["paper"] = "paper"
    policy: Literal["engine", "ace"] = "engine"
    signer: Literal["keystore"] = "keystore"
    content_store: Literal["directory", "kubo"] = "directory"
    prover: Literal["groth16", "snarkjs"] = "groth16"
    jobs: Literal["embedded", "celery"] = "embedded"
    chain: Literal["rpc"] = "rpc"
    screening: Literal["list_files"] = "list_files"
    identity_provider: Literal["reviewer", "webhook"] = "reviewer"

    # database and queue
    database_url: str = ""
    redis_url: SecretStr | None = None
    kubo_url: str = "/ip4/127.0.0.1/tcp/5001/http"

    # chain
    network: str = "local"
    rpc_url: str = "http://127.0.0.1:8545"
    rpc_timeout: timedelta = timedelta(seconds=10)
    tx_patience: timedelta = timedelta(seconds=6)
    tx_deadline: timedelta = timedelta(seconds=30)
    tx_max_fee_gwei: int = Field(default=500, gt=0)
    l1_rpc_url: str = ""
    l1_verifier: str = Field(default="", pattern=r"^(0x[0-9a-fA-F]{40})?$")
    deployments_dir: Path = Path("deployments")
    proving_keys_dir: Path = Path(".refi/zk")
    keystore_password: SecretStr = SecretStr("")

    # http
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    max_body_bytes: int = 65_536

    # sign-in (EIP-4361)
    public_url: str = "http://127.0.0.1:8000"
    chain_id: int = 42069
    siwe_max_bytes: int = 2_048
    siwe_issued_window: timedelta = timedelta(minutes=5)
    siwe_max_lifetime: timedelta = timedelta(hours=1)
    nonce_lifetime: timedelta = timedelta(minutes=5)
    access_lifetime: timedelta = timedelta(minutes=15)
    refresh_lifetime: timedelta = timedelta(days=7)
    login_attempts_per_minute: int = 30
    token_secret: SecretStr = SecretStr("")
    first_admin: str = ""

    # market and risk
    first_business_day: str = ""
    market_data_file: Path | None = None
    returns_jump_bound: Decimal = Field(default=Decimal("0.5"), gt=0)
    returns_stale_days: int = Field(default=5, ge=1)
    initial_cash_usd: Decimal = Decimal(100_000)
    fee_rate: Decimal = Decimal("0.0005")
    slippage_rate: Decimal = Decimal("0.0002")
    var_limit_usd: Decimal = Decimal(2_000)
    es_limit_usd: Decimal = Decimal(3_000)
    max_order_notional_usd: Decimal = Decimal(50_000)
    max_daily_volume_usd: Decimal = Decimal(1_000_000)
    drawdown_trip_share: Decimal = Decimal("0.15")

    # onboarding: keys (base64url, 32 bytes) and webhook secrets newest first, separated by commas
    onboarding_key: SecretStr = SecretStr("")
    identity_provider_url: str = ""
    identity_provider_api_key: SecretStr = SecretStr("")
    identity_provider_secrets: SecretStr = SecretStr("")
    webhooks_per_minute: int = Field(default=600, ge=1)
    credential_lifetime: timedelta = Field(default=timedelta(days=365), gt=timedelta(0))
    renewal_notice: timedelta = Field(default=timedelta(days=30), ge=timedelta(0))
    organisations_need_two: bool = True

    # compliance
    policy_engine: str = Field(default="", pattern=r"^(0x[0-9a-fA-F]{40})?$")
    ace_url: str = "https://ace.api.chain.link/v1/evaluation"
    ace_api_key: SecretStr = SecretStr("")
    ace_chain_selector: str = Field(default="", pattern=r"^[0-9]{0,20}$")
    ace_patience: timedelta = Field(default=timedelta(seconds=5), gt=timedelta(0))
    policy_cache_lifetime: timedelta = Field(default=timedelta(seconds=5), ge=timedelta(0))
    policy_grace: timedelta = Field(default=timedelta(minutes=15), ge=timedelta(0))
    unapproved_models: Literal["refused", "paper"] = "refused"
    watch_interval: timedelta = Field(default=timedelta(seconds=0.5), gt=timedelta(0))

    # screening: a score from which on an entry is a hit; how old a list may be before it warns
    screening_threshold: int = Field(default=85, ge=50, le=100)
    screening_max_age: timedelta = Field(default=timedelta(days=7), gt=timedelta(0))

    # audit
    checkpoint_interval: timedelta = timedelta(seconds=1)
    anchor_interval: timedelta = timedelta(minutes=10)
    anchor_leaves: int = 4_096
    retention: timedelta = Field(default=FIVE_YEARS, ge=timedelta(0), le=timedelta(days=36_525))
    anchor_follow: timedelta = timedelta(seconds=2)

    # VaR: every closed epoch is attested, or only what somebody asks for
    attest: Literal["closed", "asked"] = "closed"

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, url: str) -> str:
        if url and not url.startswith(DATABASES):
            raise ValueError(f"must begin with {' or '.join(DATABASES)}")
        return url

    @model_validator(mode="after")
    def _refuse_development_in_production(self) -> Self:
        if self.environment != "production":
            return self
        wrong = [
            f"REFI_{name.upper()}={value}"
            for name, value in (
                ("content_store", self.content_store),
                ("jobs", self.jobs),
                ("market_data", self.market_data),
                ("unapproved_models", self.unapproved_models),
            )
            if value in {"directory", "embedded", "replay", "paper"}
        ]
        if self.database_backend == "sqlite":
            wrong.append("REFI_DATABASE_URL (SQLite)")
        if self.chain_id in LOCAL_CHAIN_IDS:
            wrong.append(f"REFI_CHAIN_ID={self.chain_id} (a local chain)")
        if urlsplit(self.public_url).scheme != "https":
            wrong.append("REFI_PUBLIC_URL (not https)")
        if len(self.token_secret.get_secret_value()) < 32:
            wrong.append("REFI_TOKEN_SECRET (shorter than 32 bytes)")
        if len(self.keystore_password.get_secret_value()) < 12:
            wrong.append("REFI_KEYSTORE_PASSWORD (shorter than 12 characters)")
        wrong += self._onboarding_only_good_for_a_laptop()
        if self.retention < FIVE_YEARS:
            wrong.append("REFI_RETENTION (shorter than five years)")
        if wrong:
            raise ValueError("production refuses " + ", ".join(wrong))
        return self

    def _onboarding_only_good_for_a_laptop(self) -> list[str]:
        wrong = []
        if not self.onboarding_key.get_secret_value():
            wrong.append("REFI_ONBOARDING_KEY (empty)")
        if self.identity_provider == "webhook" and urlsplit(self.identity_provider_url).scheme != "https":
            wrong.append("REFI_IDENTITY_PROVIDER_URL (not https)")
        return wrong

    # Below the others, so that it stands around them.
    @model_validator(mode="wrap")
    @classmethod
    def _say_what_is_wrong(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(values)
        except ValidationError as refused:
            # Without the cause: the library's text quotes every value, secrets too.
            found = refused.errors(include_url=False, include_input=False, include_context=False)
            named = [("REFI_" + str(part).upper() for part in error["loc"][:1]) for error in found]
            said = [error["msg"].removeprefix("Value error, ") for error in found]
            raise Invalid(
                "; ".join(": ".join((*names, text)) for names, text in zip(named, said, strict=True))
            ) from None

    @cached_property
    def database(self) -> str:
        """The SQLAlchemy URL; SQLite under the state folder unless one is given."""
        return self.database_url or f"sqlite+aiosqlite:///{self.state_dir.absolute() / 'refi.sqlite3'}"

    @property
    def database_backend(self) -> str:
        """The database's kind: sqlite or postgresql."""
        return self.database.split(":", 1)[0].split("+", 1)[0]

    @property
    def deployment_dir(self) -> Path:
        """Where the network's addresses and build facts lie."""
        return self.deployments_dir.absolute() / self.network

    @property
    def origin(self) -> str:
        """The log's origin line."""
        return f"refi.trading/{self.deployment}"

    @property
    def is_local_chain(self) -> bool:
        """Whether development keys and clock jumps are allowed."""
        return self.chain_id in LOCAL_CHAIN_IDS


def child_environment(**overrides: object) -> dict[str, str]:
    """Return this process's environment with REFI_* settings replaced, for a process of ours to start with."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("REFI_")}  # noqa: TID251
    return kept | {f"REFI_{name.upper()}": str(value) for name, value in overrides.items()}
