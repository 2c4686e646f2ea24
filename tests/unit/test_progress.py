"""Progress: drawn where somebody looks, silent elsewhere, and a memory of finished books."""

import io
import sys
from concurrent.futures import ThreadPoolExecutor

from trunkline.books.account import Books
from trunkline.progress import Watch

BOOKS = Books(source="calls.csv", layout=None, status="loaded")


class Terminal(io.StringIO):
    """A stderr that claims to be a terminal."""

    def isatty(self):
        return True


def watch_one_source(watch):
    with watch:
        watch.start("[calls].csv", 1_000_000)
        watch.advance(500_000, 10_000)
        watch.advance(500_000, 10_000)
        watch.finish(BOOKS)


def test_a_pipe_sees_nothing(capsys):
    """Where stderr is no terminal nothing is drawn, and the books are kept."""
    watch = Watch()
    watch_one_source(watch)

    assert capsys.readouterr() == ("", "")
    assert watch.finished == [BOOKS]


def test_a_terminal_sees_records_and_speed(monkeypatch):
    """The bar names the source, counts its records and shows a speed."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    watch = Watch()
    with watch:
        watch.start("[calls].csv", 1_000_000)
        watch.advance(500_000, 10_000)

    assert "[calls].csv" in terminal.getvalue()
    assert "10,000 records" in terminal.getvalue()
    assert "50 %" in terminal.getvalue()


def test_records_are_counted_from_all_threads(monkeypatch):
    """No count is lost when several threads advance at once."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    watch = Watch()
    with watch:
        watch.start("calls.csv", None)
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda _: watch.advance(1, 1), range(4_000)))

    assert "4,000 records" in terminal.getvalue()


def test_a_source_may_end_before_it_was_started():
    """A missing file has books but no progress."""
    watch = Watch(visible=False)
    watch.finish(BOOKS)

    assert watch.finished == [BOOKS]
