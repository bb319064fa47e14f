"""Alembic's environment: on the connection that `monitor migrate` hands over, or on alembic.ini's address."""

from alembic import context
from sqlalchemy import create_engine

from monitor.storage import types
from monitor.storage.tables import Base


def render_item(kind, item, context):
    """Our own column types by their short names, in new migrations."""
    if kind == "type" and type(item).__module__ == types.__name__:
        context.imports.add(f"from {types.__name__} import {type(item).__name__}")
        length = getattr(item.impl_instance, "length", None) if isinstance(item, types.KeyText) else None
        return f"{type(item).__name__}({length or ''})"
    return False


def migrate(connection):
    """Run the migrations in one transaction; SQLite alters tables by copying them (batch mode)."""
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        compare_type=True,
        render_item=render_item,
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    migrate(given)
else:
    with create_engine(context.config.get_main_option("sqlalchemy.url")).connect() as own:
        migrate(own)
        own.commit()
