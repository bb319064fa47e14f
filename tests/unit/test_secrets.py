"""Secrets are neither shown nor stored, in any notation."""

from __future__ import annotations

import pytest

from monitor.config.secrets import masked, storable

SECRET = "s3cr3t"


@pytest.mark.parametrize(
    "value",
    [
        f"postgresql://user:{SECRET}@host/db",
        f"postgresql://user:pa/{SECRET}@host/db",
        f"postgresql://user:pa@{SECRET}@host/db",
        f"postgresql://user:pa {SECRET}@host/db",
        f"postgresql://host/db?user=me&password={SECRET}",
        f"postgresql://host/db?PASSWORD={SECRET}&x=1",
        f"https://host/blob?sig={SECRET}",
        {"heartbeat_url": f"https://hc.example/{SECRET}"},
        {"command": ["train", "--api-token", SECRET]},
        {"command": ["train", f"--password={SECRET}"]},
        {"command": ["sh", "-c", f"train --db-password {SECRET} --rounds 3"]},
        {"secret": SECRET},
        {"token": [SECRET]},
    ],
)
def test_secrets_are_masked(value: object) -> None:
    assert SECRET not in str(masked(value))
    assert "***" in str(masked(value))


@pytest.mark.parametrize(
    "value",
    [
        "postgresql://user:${DB_PASSWORD}@host/db",
        "https://host/x?token=${TOKEN}",
        {"secret": "${file:/run/secrets/x}"},
        {"command": ["train", "--token", "${TOKEN}", "--rounds", "3"]},
        "https://host:8080/path",
        "sqlite:///folder/monitor.db",
        {"command": ["train", "--keyboard", "de"]},
    ],
)
def test_what_is_no_secret_stays(value: object) -> None:
    assert masked(value) == value


def test_addresses_that_are_secrets_themselves_are_not_stored() -> None:
    values = {
        "heartbeat_url": f"https://hc.example/{SECRET}",
        "channels": {"a": {"url": f"https://hooks.example/{SECRET}"}},
    }
    assert SECRET not in str(storable(values))
