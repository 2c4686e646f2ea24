"""Sources by awkward names, and what no output may show of them."""

import os
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.call_logs import record, write_log

SECRET = "s3cret"


class _Files(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Be quiet."""


@pytest.fixture
def calls_url(tmp_path):
    """A call log behind a URL with secrets wherever one can be."""
    (tmp_path / "served").mkdir()
    write_log(tmp_path / "served" / "calls.csv", [record(1), record(2), "x"])
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Files, directory=str(tmp_path / "served"))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://me:{SECRET}@127.0.0.1:{server.server_port}/calls.csv?X-Amz-Signature={SECRET}"
        server.shutdown()
        thread.join()


def test_no_output_shows_the_secrets_of_a_url(trunkline, calls_url):
    """Loaded, looked at, or not there: whatever is said about it names host and path only."""
    gone = calls_url.replace("calls.csv", "gone.csv")
    # Not there, of a protocol whose package is missing, with a password that cuts the URL short, and without a slash.
    bad = (gone, gone.replace("http:", "sftp:"), gone.replace("@", "/@"), gone.replace("//", "/"))
    ended = [
        trunkline("run", calls_url, *bad, "--layout", "customer_call_logs", "-v"),
        trunkline("check", calls_url, *bad, "--layout", "customer_call_logs", "--json"),
        trunkline("inspect", calls_url, "--write", "own.toml"),
    ]

    assert [one.code for one in ended] == [1, 1, 0]
    assert [source["status"] for source in ended[1].json["sources"]] == ["unchanged", *["failed"] * 4]
    assert SECRET not in "".join(one.out + one.err for one in ended)
    assert SECRET not in (trunkline.folder / "own.toml").read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow fewer bytes in names")
def test_names_that_are_not_text_are_loaded_and_shown(trunkline, tmp_path):
    """A glob finds them, and each output is text in lines."""
    for number, name in enumerate((b"caf\xe9.csv", b"new\nline.csv", b"\x1b[2J.csv")):
        write_log(tmp_path / os.fsdecode(name), [record(number)])
    ended = trunkline("run", "*.csv", "--json")

    assert ended.code == 0
    assert all(line.isprintable() for line in ended.err.splitlines())
    assert sorted(source["source"] for source in ended.json["sources"]) == [
        r"\x1b[2J.csv",
        r"caf\xe9.csv",
        r"new\nline.csv",
    ]


def test_standard_input_is_named_once(trunkline):
    """A second time there would be nothing in it, which is no success."""
    ended = trunkline("run", "-", "-")

    assert (ended.code, ended.err) == (2, "trunkline: standard input (-) is named twice, and can be read once\n")
