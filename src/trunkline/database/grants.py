"""The privileges that a loading and a reading role need, as SQL for whoever may grant them."""

from collections.abc import Sequence

from psycopg2.sql import SQL, Identifier, Literal

from trunkline.database.connection import Connection
from trunkline.database.errors import translated
from trunkline.database.queries import Queries
from trunkline.errors import UsageError

query = Queries("grants")


def grants_sql(connection: Connection, *, loader: str, reader: str, schemas: Sequence[str] = ("public",)) -> str:
    """
    Return a script that lets *loader* load and *reader* read; nothing is executed here.

    It is to be run by a superuser, or by a role that owns the schema of the books and is a member of *loader*.

    Args:
        connection: Asked only how names are quoted.
        loader, reader: Roles that exist; the same role may load and migrate.
        schemas: Those in which call tables are.

    Raises:
        UsageError: If *loader* and *reader* are one role.
    """
    if loader == reader:
        raise UsageError(f"loader and reader are both {loader!r}", hint="a reader must not see the bytes of rejects")
    roles = {"loader": Identifier(loader), "reader": Identifier(reader)}
    parts = [
        query("to_loader", loader=roles["loader"]),
        query("to_reader", reader=roles["reader"]),
        *(query("in_schema", schema=Identifier(schema), **roles) for schema in schemas),
        query("on_call_tables", loader_name=Literal(loader), reader_name=Literal(reader), **roles),
    ]
    with translated():
        return SQL("begin;\n\n{}\n\ncommit;\n").format(SQL("\n\n").join(parts)).as_string(connection)
