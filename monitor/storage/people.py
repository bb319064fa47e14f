"""Who may do what on the web page and the API: users, tokens, sessions; and the log of what was changed."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from monitor.domain.ids import natural_id
from monitor.errors import UsageError
from monitor.storage.listing import begins
from monitor.storage.tables import ApiToken, AuditEntry, ServiceKey, User, WebSession

SESSION_LASTS = timedelta(hours=12)
_TOKEN_PREFIX = "mon_"  # noqa: S105 - how tokens begin, so that scanners of repositories know them


def digest(secret: str) -> str:
    """What is stored of a token or session."""
    return hashlib.sha256(secret.encode()).hexdigest()


def add_user(session: Session, name: str, password_hash: str, role: str, now: datetime) -> User:
    """A new user, or an old one with another password and role."""
    row = session.scalar(select(User).where(User.name == name))
    if row is None:
        row = User(name=name, password_hash=password_hash, role=role, created_at=now)
        session.add(row)
    else:
        row.password_hash, row.role = password_hash, role
        session.execute(delete(WebSession).where(WebSession.user_id == row.id))
    session.flush()
    return row


def user(session: Session, name: str) -> User | None:
    """A user by name."""
    return session.scalar(select(User).where(User.name == name))


def users(session: Session) -> list[User]:
    """All users, by name."""
    return list(session.scalars(select(User).order_by(User.name)))


def remove_user(session: Session, name: str) -> None:
    """Remove a user with their sessions. Raises UsageError for an unknown one."""
    row = user(session, name)
    if row is None:
        raise UsageError(
            f"there is no user {name}; there are: {', '.join(existing.name for existing in users(session)) or 'none'}"
        )
    session.execute(delete(WebSession).where(WebSession.user_id == row.id))
    session.delete(row)


def log_in(session: Session, user_id: int, now: datetime) -> str:
    """A new session; its secret, which is stored nowhere."""
    session.execute(delete(WebSession).where(WebSession.expires_at <= now))
    secret = secrets.token_urlsafe(32)
    session.add(WebSession(hash=digest(secret), user_id=user_id, created_at=now, expires_at=now + SESSION_LASTS))
    return secret


def log_out(session: Session, secret: str) -> None:
    """End a session."""
    session.execute(delete(WebSession).where(WebSession.hash == digest(secret)))


def of_session(session: Session, secret: str, now: datetime) -> User | None:
    """Whose session it is, None if it has ended."""
    query = (
        select(User)
        .join(WebSession, WebSession.user_id == User.id)
        .where(WebSession.hash == digest(secret), WebSession.expires_at > now)
    )
    return session.scalar(query)


def create_token(
    session: Session,
    name: str,
    role: str,
    now: datetime,
    expires_at: datetime | None,
    monitors: Sequence[str] = (),
) -> tuple[ApiToken, str]:
    """A new token: its row, and the token, which is stored nowhere. monitors: of the role `ingest`."""
    token = _TOKEN_PREFIX + secrets.token_urlsafe(32)
    row = ApiToken(
        uuid=natural_id("token", digest(token)),
        name=name,
        hash=digest(token),
        role=role,
        monitors=list(monitors) or None,
        created_at=now,
        expires_at=expires_at,
    )
    session.add(row)
    session.flush()
    return row, token


def tokens(session: Session) -> list[ApiToken]:
    """All tokens, newest first."""
    return list(session.scalars(select(ApiToken).order_by(ApiToken.id.desc())))


def find_token(session: Session, id_start: str) -> list[ApiToken]:
    """Tokens whose id begins so."""
    return list(session.scalars(select(ApiToken).where(begins(ApiToken.uuid, id_start)).limit(3)))


def of_token(session: Session, token: str, now: datetime) -> ApiToken | None:
    """The row of a token that holds; None for an unknown, revoked or expired one."""
    row = session.scalar(select(ApiToken).where(ApiToken.hash == digest(token), ApiToken.revoked_at.is_(None)))
    return None if row is None or (row.expires_at is not None and row.expires_at <= now) else row


def service_key_if_made(session: Session, purpose: str) -> str | None:
    """The service's own secret for a purpose, if it was ever made."""
    row = session.get(ServiceKey, purpose)
    return None if row is None else row.value


def service_key(session: Session, purpose: str) -> str:
    """The service's own secret for a purpose, made at its first use, the same for all daemons."""
    key = service_key_if_made(session, purpose)
    if key is None:
        key = secrets.token_hex(32)
        session.add(ServiceKey(purpose=purpose, value=key))
        session.flush()
    return key


def record(session: Session, who: str, action: str, subject: str, detail: str, now: datetime) -> None:
    """Write into the audit log what somebody has changed."""
    session.add(AuditEntry(at=now, who=who[:255], action=action, subject=subject[:255], detail=detail))


def recorded(session: Session, limit: int = 50) -> list[AuditEntry]:
    """The last entries of the audit log, newest first."""
    return list(session.scalars(select(AuditEntry).order_by(AuditEntry.id.desc()).limit(limit)))
