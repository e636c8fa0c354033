"""Rows of small mail stay in one piece: PostgreSQL cut what has more than 2 kB into pieces of that.

Revision: 0014
"""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

# What every mail writes and what is seldom much larger than a page: a payload has 1 to 4 kB, the
# content of a letter hardly more. Cut, each piece is a row of another table with an index of its
# own, and pglz has tried to make each payload smaller before, in vain (base64 and hashes).
_TABLES = ("archive.log_payloads", "archive.log_contents")
_A_PAGE = 8160  # the most that PostgreSQL takes; a row must fit into its page


def upgrade() -> None:
    """For what is written from now on; what is there stays as it is, and is read as before."""
    if op.get_bind().dialect.name != "postgresql":
        return  # SQLite writes the rest of a long row behind it, without an index
    for table in _TABLES:
        op.execute(f"ALTER TABLE {table} SET (toast_tuple_target = {_A_PAGE})")
