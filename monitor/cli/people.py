"""`monitor users` and `monitor tokens`: who may use the web page and the API."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

from monitor.cli import shared
from monitor.errors import UsageError

users = typer.Typer(help="Manage who may log in to the web page.", no_args_is_help=True)
tokens = typer.Typer(help="Manage the tokens by which programs use the API.", no_args_is_help=True)
_SHORTEST = 12


class Role(StrEnum):
    """What somebody may: look; act (acknowledge, silence, approve, send data); see the audit log, too."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


class TokenRole(StrEnum):
    """What a program may: as people, or send rows of its monitors and nothing else."""

    INGEST = "ingest"
    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


RoleOption = Annotated[
    Role, typer.Option(help="viewer looks; operator acts, too; admin sees the audit log and who may what.")
]


@users.command("add")
def add_user(
    name: Annotated[str, typer.Argument(help="The name to log in by.")],
    role: RoleOption = Role.VIEWER,
    config: shared.ConfigOption = None,
) -> None:
    """A new user, or another password and role for one; the password is asked for, or read from standard input."""
    from monitor.storage import people
    from monitor.web.access import hashed

    database = _database(config)
    if sys.stdin.isatty():
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        password = sys.stdin.readline().rstrip("\n")
    if len(password) < _SHORTEST:
        raise UsageError(f"a password has at least {_SHORTEST} characters")
    kept, now = hashed(password), datetime.now(UTC)

    def added(session: Any) -> None:
        people.add_user(session, name, kept, role.value, now)
        shared.person().record(session, "user added", name, role.value)

    database.transact(added)
    shared.say(f"{name} may log in as {role.value}")


@users.command("list")
def list_users(config: shared.ConfigOption = None, json: shared.JsonOption = False) -> None:
    """All users."""
    from monitor.storage import people

    rows = [
        {"name": row.name, "role": row.role, "since": row.created_at} for row in _database(config).read(people.users)
    ]
    shared.show(rows, ("name", "role", "since"), json, "there are no users: nobody may log in")


@users.command("remove")
def remove_user(name: Annotated[str, typer.Argument(help="The user.")], config: shared.ConfigOption = None) -> None:
    """Remove a user; what they are logged in to ends at once."""
    from monitor.storage import people

    def removed(session: Any) -> None:
        people.remove_user(session, name)
        shared.person().record(session, "user removed", name)

    _database(config).transact(removed)
    shared.say(f"{name} may log in no more")


@tokens.command("create")
def create_token(
    name: Annotated[str, typer.Argument(help="What it is for.")],
    role: Annotated[
        TokenRole,
        typer.Option(
            help=(
                "ingest sends rows of its monitors and reads nothing; viewer looks; operator acts, too; admin sees the"
                " audit log and who may what."
            )
        ),
    ] = TokenRole.OPERATOR,
    monitor: Annotated[
        list[str] | None,
        typer.Option(
            help="With the role ingest: the monitor whose rows it sends, or a pattern such as 'fraud-*'; repeatable."
        ),
    ] = None,
    lasts: Annotated[str | None, typer.Option("--for", help="How long: 90d; until it is revoked if left out.")] = None,
    config: shared.ConfigOption = None,
) -> None:
    """A new token, printed once: only its hash is kept."""
    from monitor.domain.grid import Duration
    from monitor.storage import people

    named = monitor or []
    if (role is TokenRole.INGEST) != bool(named):
        raise UsageError("--monitor names the monitors of a token with --role ingest: give both, or neither")
    now = datetime.now(UTC)
    expires = None if lasts is None else now + Duration.parse(lasts).approximate()

    def created(session: Any) -> str:
        row, token = people.create_token(session, name, role.value, now, expires, named)
        shared.person().record(session, "token created", row.uuid, ", ".join([name, role.value, *named]))
        return token

    shared.say(_database(config).transact(created))


@tokens.command("list")
def list_tokens(config: shared.ConfigOption = None, json: shared.JsonOption = False) -> None:
    """All tokens, newest first."""
    from monitor.storage import people

    rows = [
        {
            "id": row.uuid if json else row.uuid[:8],
            "name": row.name,
            "role": row.role,
            "monitors": row.monitors or [] if json else ", ".join(row.monitors or ()),
            "created": row.created_at,
            "expires": row.expires_at,
            "revoked": row.revoked_at,
        }
        for row in _database(config).read(people.tokens)
    ]
    shared.show(rows, ("id", "name", "role", "monitors", "created", "expires", "revoked"), json, "there are no tokens")


@tokens.command("revoke")
def revoke_token(
    token: Annotated[str, typer.Argument(help="The token's id, or its beginning.")], config: shared.ConfigOption = None
) -> None:
    """End a token now."""
    from monitor.storage import people

    def revoked(session: Any) -> str:
        row = shared.one(people.find_token(session, token), "token", token)
        row.revoked_at = row.revoked_at or datetime.now(UTC)
        shared.person().record(session, "token revoked", row.uuid, row.name)
        return str(row.name)

    shared.say(f"the token {_database(config).transact(revoked)} is revoked")


def _database(config: str | None) -> Any:
    """The report database, made if it is not there: people are added before the first start."""
    from monitor.services.context import open_database

    database = open_database(shared.load_configuration(config, check_secrets=False))
    database.prepare()
    return database
