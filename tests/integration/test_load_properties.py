"""Any sequence of loads, changes by hand, reloads and replays leaves the table and books that a small model says."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.call_logs import HEADER, LEFT_BEHIND, UNBALANCED, execute, record, run_on
from trunkline import Settings, extract, load, load_layout, transform
from trunkline.books.account import Books
from trunkline.books.reading import Which
from trunkline.errors import RefusedError
from trunkline.framing.borders import BlockSizes
from trunkline.replaying import replay_rejects
from trunkline.servers import open_servers

LAYOUT = Path("src/trunkline/layouts/customer_call_logs.toml")
POLICIES = ("reject", "skip", "replace")
EXAMPLES = max(settings().max_examples // 10, 1)  # ten; --hypothesis-profile=thorough asks for more
FORGET_ALL = "drop table if exists customer_call_logs cascade; truncate trunkline.loads cascade"
TABLE = """
select customer_id - 1000, extract(day from started_at)::int, cost::float, load_id, source_line from customer_call_logs
"""
KNOWN = "select count(*) from trunkline.blocks where load_id = %s and known_from is not null"
REJECTS = """
select load_id, source_line, code, kept_load_id, kept_source_line, state, replayed_by from trunkline.rejects
order by load_id, source_line
"""

Key = tuple[int, int]
"""Customer and day."""
Content = tuple[tuple[int, int, str], ...]
"""Customer, day and cost of each record; the cost "free" cannot be read."""


@dataclass(frozen=True)
class Call:
    """A typed record of a source, or a call in the table."""

    key: Key
    cost: str
    load_id: int
    line: int


@dataclass
class Reject:
    """A record that the books keep."""

    call: Call
    code: str
    kept: Call | None = None
    state: str = "open"
    replayed_by: int | None = None


@dataclass
class Outcome:
    """What becomes of typed records."""

    new: list[Call] = field(default_factory=list)
    replaced: list[Call] = field(default_factory=list)
    conflicts: list[tuple[Call, Call]] = field(default_factory=list)  # with the call that is kept
    duplicates: int = 0
    in_source: int = 0
    differing: int = 0


@dataclass
class Load:
    """A load that is in the books."""

    id: int
    content: Content
    policy: str
    status: str
    counts: dict[str, int]
    days: set[int] = field(default_factory=set)  # of its calls and of their twins
    is_intact: bool = True
    is_superseded: bool = False
    replays: int | None = None


class Model:
    """What PostgreSQL should hold."""

    def __init__(self) -> None:
        self.table: dict[Key, Call] = {}
        self.partitions: set[int] = set()
        self.loads: list[Load] = []
        self.rejects: list[Reject] = []

    def unchanged(self, content: Content, policy: str) -> Load | None:
        for each in reversed(self.loads):
            is_meant = (each.content, each.policy, each.status) == (content, policy, "loaded")
            if is_meant and each.replays is None and not each.is_superseded and (each.is_intact or not each.days):
                return each
        return None

    def load(
        self, books: Books, content: Content, policy: str, limit: int | None, *, reload: bool, most_in_source: int
    ) -> None:
        """
        Check the books of a load that went on, and do the same.

        *most_in_source*: More duplicates were not seen to be in the source, since blocks of it were known.
        """
        assert books.load_id is not None
        replaced = [each for each in self.of_content(content) if not each.is_superseded] if reload else []
        replaced += [each for each in self.loads if each.replays in [one.id for one in replaced]]
        gone = {key: call for key, call in self.table.items() if call.load_id in [each.id for each in replaced]}
        table = {key: call for key, call in self.table.items() if key not in gone}
        calls = as_calls(content, books.load_id)
        typed = [call for call in calls if call.cost != "free"]
        found = settle(typed, policy, table)
        rejects = [Reject(call, "bad_money") for call in calls if call.cost == "free"]
        is_refused = bool(rejects) and not typed
        rejects += [Reject(call, "conflict", kept) for call, kept in found.conflicts]
        is_refused |= limit is not None and len(rejects) > limit
        counts = {
            "read": len(calls),
            "loaded": 0 if is_refused else len(found.new),
            "duplicates": 0 if is_refused else found.duplicates,
            "duplicates_in_source": 0 if is_refused else found.in_source,
            "rejected": len(rejects),
            "conflicts": len(found.conflicts) if is_refused else found.differing,
        }
        status = "refused" if is_refused else "loaded"
        counts["duplicates_in_source"] = min(counts["duplicates_in_source"], most_in_source)
        assert (books.status, counts_of(books)) == (status, counts), books.reason
        self.rejects += rejects
        new = Load(books.load_id, content, policy, status, counts)
        if not is_refused:
            self.table = table
            self.forget({key[1] for key in gone}, new)
            for each in replaced:
                each.is_superseded = True
            self.publish(new, typed, found)
            self.settle_read_again(new, {reject.call.line for reject in rejects})
        self.loads.append(new)

    def of_content(self, content: Content) -> list[Load]:
        return [each for each in self.loads if (each.content, each.status, each.replays) == (content, "loaded", None)]

    def publish(self, new: Load, typed: list[Call], found: Outcome) -> None:
        self.forget({call.key[1] for call in found.replaced}, new)
        self.table |= {call.key: call for call in found.new}
        new.days = {call.key[1] for call in typed}
        self.partitions |= new.days

    def forget(self, days: Iterable[int] | None, but: Load | None = None) -> None:
        """Let loads with calls of these days (None: of any) not count as unchanged any more."""
        for each in self.loads:
            if each is not but and (days is None or each.days & set(days)):
                each.is_intact = False

    def settle_read_again(self, new: Load, rejected: set[int]) -> None:
        meant = [each.id for each in self.loads if each.content == new.content and each.replays is None]
        for reject in self.rejects:
            if reject.call.load_id in meant and reject.state == "open":
                reject.state = "discarded" if reject.call.line in rejected else "replayed"
                reject.replayed_by = None if reject.call.line in rejected else new.id

    def replay(self, books: Books | None, origin: Load, policy: str) -> None:
        """Check the books of a replay of all that is open of a load, and do the same."""
        sent = [one for one in self.rejects if (one.call.load_id, one.state) == (origin.id, "open")]
        left = sorted((one.call for one in sent if one.call.cost != "free"), key=lambda call: call.line)
        while (found := settle(left, policy, self.table)).conflicts:
            left = [call for call in left if call not in [conflict for conflict, _ in found.conflicts]]
        assert books is not None
        if not left:
            assert (books.status, books.load_id) == ("refused", None)
            return
        assert books.load_id is not None, books.reason
        new = Load(books.load_id, (), policy, "loaded", {}, replays=origin.id)
        found = settle([Call(call.key, call.cost, new.id, call.line) for call in left], policy, self.table)
        assert (books.read, books.loaded, books.duplicates) == (len(left), len(found.new), found.duplicates)
        self.publish(new, left, found)
        self.loads.append(new)
        bytes_of = {(call.key, call.cost) for call in left}
        for one in self.rejects:
            if one.state == "open" and (one.call.key, one.call.cost) in bytes_of:
                one.state, one.replayed_by = "replayed", new.id

    def delete(self, keys: Iterable[Key]) -> None:
        self.table = {key: call for key, call in self.table.items() if key not in set(keys)}


def as_calls(content: Content, load_id: int) -> list[Call]:
    return [Call((who, day), cost, load_id, line) for line, (who, day, cost) in enumerate(content, start=2)]


def settle(typed: list[Call], policy: str, table: dict[Key, Call]) -> Outcome:
    """Return what becomes of typed records beside the calls that are there."""
    found = Outcome()
    for key in dict.fromkeys(call.key for call in typed):
        same = [call for call in typed if call.key == key]
        kept, twin = same[-1 if policy == "replace" else 0], table.get(key)
        if twin is None or (policy == "replace" and twin.cost != kept.cost):
            found.new.append(kept)
            found.replaced += [twin] if twin else []
        else:
            set_aside(found, kept, twin, policy, in_source=False)
        for call in same:
            if call is not kept:
                set_aside(found, call, kept if twin is None or policy == "replace" else twin, policy, in_source=True)
    return found


def set_aside(found: Outcome, call: Call, kept: Call, policy: str, *, in_source: bool) -> None:
    found.differing += call.cost != kept.cost
    if call.cost != kept.cost and policy == "reject":
        found.conflicts.append((call, kept))
    else:
        found.duplicates += 1
        found.in_source += in_source


def counts_of(books: Books) -> dict[str, int]:
    names = ("read", "loaded", "duplicates", "duplicates_in_source", "rejected", "conflicts")
    return {name: getattr(books, name) for name in names}


CONTENTS = st.lists(
    st.tuples(st.integers(1, 2), st.integers(1, 2), st.sampled_from(["1", "2", "free"])), max_size=5
).map(tuple)
LOADS = st.tuples(
    st.just("load"),
    st.tuples(st.integers(0, 3), CONTENTS) | CONTENTS.map(lambda records: (None, records)),
    st.sampled_from(POLICIES),
    st.sampled_from(["run", "run strictly", "load()", "reload"]),
)
HARM = st.tuples(
    st.just("harm"), st.sampled_from(["table", "partition", "truncate", "drop"]), st.integers(1, 2), st.integers(1, 2)
)
REPLAYS = st.tuples(st.just("replay"), st.sampled_from(POLICIES))


class World:
    """The database and its model, side by side."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder, self.model = url, folder, Model()
        self.contents: list[Content] = []
        execute(url, FORGET_ALL)

    def layout(self, policy: str) -> str:
        path = self.folder / f"{policy}.toml"
        if not path.exists():
            text = LAYOUT.read_text(encoding="utf-8")
            path.write_text(text.replace("[dialect]", f'on_conflict = "{policy}"\n\n[dialect]', 1), encoding="utf-8")
        return str(path)

    def load(self, wanted: tuple[int | None, Content], policy: str, way: str) -> None:
        """Load records, behind those of an earlier source where *wanted* has its number."""
        number, content = wanted
        if number is not None and self.contents:
            content = self.contents[number % len(self.contents)] + content
        self.contents.append(content)
        data = "\n".join((HEADER, *(record(who, day=day, cost=cost) for who, day, cost in content), ""))
        same = None if way == "reload" else self.model.unchanged(content, policy)
        books = self.load_alone(data, policy) if way == "load()" else self.run(data, policy, way)
        if books is None:
            assert {cost for _, _, cost in content} == {"free"}
        elif same:
            assert (books.status, books.load_id, counts_of(books)) == ("unchanged", same.id, same.counts)
        else:
            limit = 0 if way == "run strictly" else None
            known = execute(self.url, KNOWN, [books.load_id])[0][0]
            most = books.duplicates_in_source if known else len(content)
            self.model.load(books, content, policy, limit, reload=way == "reload", most_in_source=most)

    def run(self, data: str, policy: str, way: str) -> Books:
        path = self.folder / "calls.csv"
        path.write_text(data, encoding="utf-8")
        limit = "0" if way == "run strictly" else None
        wanted = {"layout": self.layout(policy), "max_rejects": limit, "reload": way == "reload"}
        (books,) = run_on(self.url, str(path), workers=1, **wanted)
        return books

    def load_alone(self, data: str, policy: str) -> Books | None:
        """Load with the public function; None where it refuses, which leaves no books."""
        layout = load_layout(self.layout(policy))
        calls, rejects = transform(extract(io.BytesIO(data.encode()), layout), layout)
        with closing(psycopg2.connect(self.url)) as connection:
            try:
                books = load(calls, connection, layout, rejects)
            except RefusedError:
                books = None
            connection.commit()
        return books

    def harm(self, how: str, who: int, day: int) -> None:
        """Change calls by hand, as far as there is a table."""
        model, part = self.model, f"customer_call_logs_2022010{day}"
        if how == "table" and model.partitions:
            execute(self.url, f"delete from customer_call_logs where customer_id = {1000 + who}")
            model.delete([(who, 1), (who, 2)])
            model.forget(None)
        elif how == "drop":
            execute(self.url, "drop table if exists customer_call_logs cascade")
            model.table.clear()
            model.partitions.clear()
            model.forget(None)
        elif how in ("partition", "truncate") and day in model.partitions:
            one = f"delete from {part} where customer_id = {1000 + who}"
            execute(self.url, one if how == "partition" else f"truncate {part}")
            model.delete([(who, day)] if how == "partition" else [(1, day), (2, day)])
            model.forget({day})

    def replay(self, policy: str) -> None:
        wanted = Settings(database_url=self.url, redis_url="none", layout=self.layout(policy))
        for origin in [each for each in self.model.loads if each.status == "loaded"]:
            is_open = any((one.call.load_id, one.state) == (origin.id, "open") for one in self.model.rejects)
            with open_servers(wanted, {}) as servers:
                replayed = replay_rejects(Which(load=origin.id), wanted, servers)
            assert len(replayed) == is_open
            for each in replayed:
                self.model.replay(each.books, origin, policy)

    def check(self) -> None:
        """The table and the rejects are what the model says; every load balances, and nothing is left behind."""
        if execute(self.url, "select to_regclass('customer_call_logs') is not null") == [(True,)]:
            calls = self.model.table.values()
            assert set(execute(self.url, TABLE)) == {
                (*call.key, float(call.cost), call.load_id, call.line) for call in calls
            }
        else:
            assert not self.model.table
        rejects = sorted(self.model.rejects, key=lambda one: (one.call.load_id, one.call.line))
        assert execute(self.url, REJECTS) == [
            (
                one.call.load_id,
                one.call.line,
                one.code,
                one.kept and one.kept.load_id,
                one.kept and one.kept.line,
                one.state,
                one.replayed_by,
            )
            for one in rejects
        ]
        assert execute(self.url, UNBALANCED) == []
        assert execute(self.url, LEFT_BEHIND) == []


@contextmanager
def told(step: object) -> Iterator[None]:
    """Name the step in which an assertion fails."""
    try:
        yield
    except AssertionError as error:
        error.add_note(f"in {step}")
        raise


@pytest.fixture(autouse=True, params=["short", "long"])
def small_blocks(request, monkeypatch):
    """A record or a few make a block, so that sources have blocks in common; of a long one what grew is read alone."""
    monkeypatch.setattr("trunkline.framing.borders.BLOCK_SIZES", BlockSizes(least=60, usual=120, most=240))
    if request.param == "long":
        monkeypatch.setattr("trunkline.runner.LONG_BYTES", 0)


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(st.one_of(LOADS, LOADS, LOADS, HARM, REPLAYS), min_size=2, max_size=8))
def test_any_sequence_ends_as_the_model_says(database_url, tmp_path_factory, steps):
    """Books, table, rejects and what counts as unchanged, after each step."""
    world = World(database_url, tmp_path_factory.mktemp("world"))
    for step in steps:
        with told(step):
            getattr(world, step[0])(*step[1:])
            world.check()
