"""The settings: defaults for a laptop, refusals in production, nothing foreign handed to children."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from backend.kernel.errors import Invalid
from backend.settings import LOCAL_CHAIN_IDS, Settings, child_environment

ROOT = Path(__file__).resolve().parents[2]
SECRET = "canary-7d11-"
PRODUCTION: dict[str, Any] = {
    "environment": "production",
    "content_store": "kubo",
    "jobs": "celery",
    "redis_url": "redis://127.0.0.1/0",
    "database_url": "postgresql+asyncpg://refi@127.0.0.1/refi",
    "chain_id": 10,
    "public_url": "https://refi.example",
    "token_secret": "t" * 32,
    "keystore_password": "k" * 12,
    "onboarding_key": "k" * 43,
}


def made(**given: Any) -> Settings:
    """Return settings from what is given alone, without a .env file."""
    return Settings(_env_file=None, **given)


def refusal(**given: Any) -> str:
    """Return why settings are refused."""
    with pytest.raises(Invalid) as refused:
        made(**given)
    assert refused.value.__cause__ is None
    assert "\n" not in refused.value.detail
    return refused.value.detail


def test_a_laptop_needs_no_setting() -> None:
    settings = made()
    assert settings.environment == "local"
    assert settings.is_local_chain
    assert settings.database == f"sqlite+aiosqlite:///{Path('.refi').absolute() / 'refi.sqlite3'}"
    assert settings.database_backend == "sqlite"
    assert settings.origin == "refi.trading/local"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"content_store": "directory"}, "REFI_CONTENT_STORE=directory"),
        ({"jobs": "embedded"}, "REFI_JOBS=embedded"),
        ({"database_url": ""}, "REFI_DATABASE_URL (SQLite)"),
        ({"database_url": "sqlite+aiosqlite:////srv/refi"}, "REFI_DATABASE_URL (SQLite)"),
        *(({"chain_id": chain}, f"REFI_CHAIN_ID={chain} (a local chain)") for chain in sorted(LOCAL_CHAIN_IDS)),
        ({"public_url": "http://refi.example"}, "REFI_PUBLIC_URL (not https)"),
        ({"token_secret": SECRET}, "REFI_TOKEN_SECRET (shorter than 32 bytes)"),
        ({"token_secret": ""}, "REFI_TOKEN_SECRET (shorter than 32 bytes)"),
        ({"keystore_password": SECRET[:11]}, "REFI_KEYSTORE_PASSWORD (shorter than 12 characters)"),
        ({"unapproved_models": "paper"}, "REFI_UNAPPROVED_MODELS=paper"),
        ({"onboarding_key": ""}, "REFI_ONBOARDING_KEY (empty)"),
        ({"identity_provider": "webhook"}, "REFI_IDENTITY_PROVIDER_URL (not https)"),
    ],
)
def test_production_refuses_what_is_only_good_for_a_laptop(change: dict[str, Any], said: str) -> None:
    # The replayed market is the only source so far, so production always names that one too.
    expected = ["REFI_MARKET_DATA=replay", said]
    detail = refusal(**PRODUCTION | change)
    assert sorted(detail.removeprefix("production refuses ").split(", ")) == sorted(expected)
    assert SECRET[:11] not in detail


def test_production_names_everything_at_once() -> None:
    detail = refusal(environment="production")
    names = ("CONTENT_STORE", "JOBS", "MARKET_DATA", "DATABASE_URL", "CHAIN_ID", "PUBLIC_URL", "TOKEN_SECRET",
             "KEYSTORE_PASSWORD")  # fmt: skip
    assert all(f"REFI_{name}" in detail for name in names)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("port", 65_536, "less than or equal to 65535"),
        ("jobs", "cron", "'embedded' or 'celery'"),
        ("environment", "prod", "'local' or 'production'"),
        ("rpc_timeout", "soon", "timedelta"),
        ("var_limit_usd", "much", "decimal"),
        ("database_url", "oracle://host/x", "must begin with sqlite+aiosqlite: or postgresql+asyncpg:"),
    ],
)
def test_a_malformed_setting_is_named_with_what_is_allowed(name: str, value: object, allowed: str) -> None:
    detail = refusal(**{name: value})
    assert detail.startswith(f"REFI_{name.upper()}: ")
    assert allowed in detail
    assert f"'{value}'" not in detail


def test_secrets_are_not_in_a_printed_form() -> None:
    settings = made(token_secret=SECRET, keystore_password=SECRET, redis_url=f"redis://:{SECRET}@127.0.0.1/0")
    assert SECRET not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"


def test_settings_do_not_change() -> None:
    settings = made()
    with pytest.raises(ValidationError, match="Instance is frozen"):
        settings.port = 1  # type: ignore[misc]
    assert settings.port == 8000


def test_a_child_gets_the_named_settings_and_no_other() -> None:
    script = (
        "import json; from backend.settings import child_environment; "
        "print(json.dumps(child_environment(port=9, state_dir='/x')))"
    )
    inherited = child_environment(token_secret=SECRET, deploy_plan="plan.json") | {"OTHER": "kept"}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, env=inherited, capture_output=True, text=True, check=True)
    assert SECRET not in done.stdout
    assert '"REFI_PORT": "9"' in done.stdout
    assert '"REFI_STATE_DIR": "/x"' in done.stdout
    assert '"OTHER": "kept"' in done.stdout
    assert done.stdout.count("REFI_") == 2
    assert child_environment()["PATH"] == os.environ["PATH"]  # noqa: TID251
