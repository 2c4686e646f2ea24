"""After any sequence of loads, changes by hand, reloads and replays, checks foresee runs and proofs hold."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.call_logs import outcome_of
from tests.integration.test_load_properties import EXAMPLES, HARM, LOADS, REPLAYS, World, told
from trunkline import Settings
from trunkline.books.account import Books
from trunkline.database.connection import connect
from trunkline.progress import Watch
from trunkline.runner import check_sources
from trunkline.servers import open_servers
from trunkline.tracing.auditing import verify_books
from trunkline.tracing.verifying import verify_sources


class ProvenWorld(World):
    """Checks each source before it is run, proves it afterwards, and proves the books after each step."""

    is_harmed = False

    def run(self, data: str, policy: str, way: str) -> Books:
        path = self.folder / "calls.csv"
        path.write_text(data, encoding="utf-8")
        wanted: dict[str, Any] = {
            "database_url": self.url,
            "redis_url": "none",
            "layout": self.layout(policy),
            "max_rejects": "0" if way == "run strictly" else None,
            "reload": way == "reload",
        }
        chosen = Settings(**wanted)
        with open_servers(chosen, {}) as servers:
            (checked,) = check_sources([str(path)], chosen, servers, progress=Watch(visible=False))
            books = super().run(data, policy, way)
            (proof,) = verify_sources([str(path)], chosen, servers, progress=Watch(visible=False))
        assert outcome_of(checked) == outcome_of(books)
        if books.status == "refused":
            return books
        assert (proof.status, proof.disagreements) == ("proved", {}), proof.examples
        assert proof.load_id == books.load_id
        return books

    def harm(self, how: str, who: int, day: int) -> None:
        super().harm(how, who, day)
        self.is_harmed = True

    def check(self) -> None:
        super().check()
        if not self.is_harmed:
            with closing(connect(self.url)) as connection:
                audit = verify_books(connection, warn=print)
            assert audit.to_dict()["disagreements"] == {}, audit.to_dict()


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(st.one_of(LOADS, LOADS, LOADS, HARM, REPLAYS), min_size=2, max_size=8))
def test_checks_and_proofs_hold_after_any_sequence(database_url, tmp_path_factory, steps):
    """What a check says is what the run does, and what the run did is proved."""
    world = ProvenWorld(database_url, tmp_path_factory.mktemp("world"))
    for step in steps:
        with told(step):
            getattr(world, step[0])(*step[1:])
            world.check()
