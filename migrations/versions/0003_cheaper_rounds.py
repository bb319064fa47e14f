"""values without foreign key, a view of rolled-up days, a mark on monitors whose results are not judged yet

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_DAY_NUMBERS = ("value", "lowest", "highest")


def upgrade():
    _touch_tables(not_null=True)
    op.add_column("monitors", sa.Column("unjudged", sa.Boolean(), nullable=False, server_default=sa.true()))
    op.execute(
        """CREATE VIEW monitor_metric_days AS
        SELECT m.name AS monitor, m.model_name AS model, s.model_version, s.metric, s.column_name, s.segment,
               d.day, d.value, d.lowest AS value_lowest, d.highest AS value_highest, d.number AS value_count
        FROM metric_series s JOIN monitors m ON m.id = s.monitor_id JOIN metric_days d ON d.series_id = s.id"""
    )


def downgrade():
    op.execute("DROP VIEW monitor_metric_days")
    views = _dropped_views()
    with op.batch_alter_table("monitors") as batch:
        batch.drop_column("unjudged")
    _made_again(views)
    _touch_tables(not_null=False)


def _touch_tables(*, not_null):
    views = _dropped_views()
    with op.batch_alter_table("metric_values", table_kwargs={"sqlite_with_rowid": False}) as batch:
        if not_null:
            batch.drop_constraint("fk_metric_values_series_id", type_="foreignkey")
        else:
            batch.create_foreign_key("fk_metric_values_series_id", "metric_series", ["series_id"], ["id"])
    with op.batch_alter_table("metric_days", table_kwargs={"sqlite_with_rowid": False}) as batch:
        for name in _DAY_NUMBERS:
            batch.alter_column(name, existing_type=sa.Double(), nullable=not not_null)
    _made_again(views)


def _dropped_views():
    """SQLite makes a table anew to change it, and does not while views look at it: they are dropped, and made again."""
    bind = op.get_bind()
    if bind.dialect.name != "sqlite":
        return []
    views = bind.execute(sa.text("SELECT name, sql FROM sqlite_master WHERE type = 'view'")).all()
    for name, _ in views:
        op.execute(f"DROP VIEW {name}")
    return [sql for _, sql in views]


def _made_again(views):
    for sql in views:
        op.execute(sql)
