"""Called by Alembic with the connection that `migrations.upgrade` was given."""

from alembic import context

import migrations

connection = context.config.attributes["connection"]
schemas = connection.dialect.name == "postgresql"
if not schemas:  # SQLite has none: the names are left out
    connection.execution_options(schema_translate_map=dict.fromkeys(migrations.SCHEMAS))
context.configure(
    connection=connection,
    transaction_per_migration=False,
    version_table_schema="gateway" if schemas else None,
)
context.run_migrations()
