"""Called by Alembic with the connection that `migrations.upgrade` was given."""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, transaction_per_migration=False)
context.run_migrations()
