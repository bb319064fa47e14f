"""A daemon refuses a report database that was emptied, replaced or migrated since it started."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from monitor.errors import SchemaVersionError
from monitor.services.same_database import remembered, require_not_emptied, require_same
from monitor.storage.database import Database


@pytest.fixture
def database(database_url: str) -> Database:
    made = Database(database_url)
    made.prepare()
    return made


def test_the_same_database_is_worked_on_by_whoever_knows_it(database: Database, tmp_path: Path) -> None:
    identity = remembered(database, tmp_path)
    assert remembered(database, tmp_path / "of another machine") == identity
    require_same(database, identity)
    require_not_emptied(database, tmp_path)


def test_one_that_was_migrated_meanwhile_is_refused(database: Database, tmp_path: Path) -> None:
    identity = remembered(database, tmp_path)
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaVersionError, match="was migrated to schema 9999"):
        require_same(database, identity)


def test_one_that_was_emptied_is_refused_until_it_is_made_on_purpose(database: Database, tmp_path: Path) -> None:
    identity = remembered(database, tmp_path)
    database.migrate("base")
    with database.engine.begin() as connection:
        connection.execute(text("DROP TABLE alembic_version"))
    with pytest.raises(SchemaVersionError, match="has become empty"):
        require_same(database, identity)
    if database.is_sqlite:  # a file that somebody has taken away
        require_not_emptied(database, tmp_path)
    else:
        with pytest.raises(SchemaVersionError, match="worked on one of that address before"):
            require_not_emptied(database, tmp_path)
    require_not_emptied(database, tmp_path / "of another machine")
    database.migrate()
    require_not_emptied(database, tmp_path)
    with pytest.raises(SchemaVersionError, match="is another one than before"):
        require_same(database, identity)
