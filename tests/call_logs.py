"""Small call logs of the reference layout, runs that load them, and what must be true of the books after any run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.sql import SQL, Identifier

from trunkline.books.account import Books, CacheCounts, Seconds
from trunkline.database.grants import grants_sql
from trunkline.runner import run
from trunkline.settings.resolution import Settings

HEADER = "customer_id,call_cost,call_destination,call_date,call_duration"

UNBALANCED = """
select l.id from trunkline.loads l
where l.status = 'loaded' and (
    l.read <> l.loaded + l.duplicates + l.rejected + l.filtered
    or l.read <> (select coalesce(sum(read), 0) from trunkline.blocks b where b.load_id = l.id)
    or l.rejected <> (select count(*) from trunkline.rejects r where r.load_id = l.id)
    or l.rejected <> (select coalesce(sum(n::bigint), 0) from jsonb_each_text(l.rejected_by) c (code, n))
)
"""
LEFT_BEHIND = """
select 'load', id::text from trunkline.loads where status = 'running'
union all select 'table', tablename::text from pg_tables where schemaname = 'trunkline_staging'
union all select 'staged', relation from trunkline.staged
union all select 'sum', relation from trunkline.staged_sums
"""
# Load by load, the books' side and the table's side of what it loaded: calls, seconds, cost.
BOTH_SIDES = """
select l.loaded, d.loaded, coalesce(c.loaded, 0), t.calls, t.duration_s, t.cost
from trunkline.loads l
    join trunkline.totals d on d.load_id = l.id and d.measure = 'duration_s'
    left join trunkline.totals c on c.load_id = l.id and c.measure = 'cost'
    cross join lateral (
        select count(*) as calls, coalesce(sum(duration_s), 0) as duration_s, coalesce(sum(cost), 0) as cost
        from customer_call_logs k where k.load_id = l.id
    ) t
where l.status = 'loaded' and l.superseded_by is null
"""


def record(number: int, *, cost: str = "1.20", day: int = 1) -> str:
    """Return a record; the same *number* and *day* are the same call, and it is that day in UTC, too."""
    hour, minute = 8 + number // 60 % 12, number % 60
    return f"{1000 + number},${cost},Nairobi,2022-01-{day:02} {hour:02}:{minute:02}:00,00:01:00"


def write_log(path: Path, records: Iterable[str]) -> str:
    """Write *records* below their header; return the path as the command line takes it."""
    path.write_text("\n".join((HEADER, *records, "")))
    return str(path)


def run_on(url: str, *sources: str, **settings: Any) -> list[Books]:
    """Load *sources* in this process, without a cache."""
    chosen: dict[str, Any] = {"redis_url": "none", "layout": "customer_call_logs", "workers": 2} | settings
    return run(sources, Settings(database_url=url, **chosen))


def execute(url: str, statement: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
    """Run a statement in a session and a transaction of its own."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        rows = cursor.fetchall() if cursor.description else []
        connection.commit()
        return rows


def outcome_of(books: Books) -> dict[str, Any]:
    """Return books without what a check cannot know: the number of the load, its cost, and how a refusal is put."""
    known = replace(books, cache=CacheCounts(), seconds=Seconds())
    if books.status != "unchanged":
        known = replace(known, load_id=None)
    return known.to_dict() | {"reason": bool(books.reason)}


@contextmanager
def granted_roles(url: str) -> Iterator[tuple[str, str]]:
    """Give a loading and a reading role with their privileges, as URLs of this database."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        roles = [f"{kind}_{connection.info.dbname}" for kind in ("loader", "reader")]
        for role in roles:
            cursor.execute(SQL("create role {} login").format(Identifier(role)))
        cursor.execute(grants_sql(connection, loader=roles[0], reader=roles[1]))
        try:
            yield f"{url}&user={roles[0]}", f"{url}&user={roles[1]}"
        finally:
            cursor.execute(SQL("reassign owned by {} to current_user").format(Identifier(roles[0])))
            for role in roles:
                cursor.execute(SQL("drop owned by {0} cascade; drop role {0}").format(Identifier(role)))


def check_books(url: str) -> None:
    """Every load is settled and balanced, nothing is left behind, and the table holds what the books say."""
    assert execute(url, LEFT_BEHIND) == []
    assert execute(url, UNBALANCED) == []
    for row in execute(url, BOTH_SIDES):
        assert row[:3] == row[3:]
    assert execute(url, "select record_key from customer_call_logs group by 1 having count(*) > 1") == []
