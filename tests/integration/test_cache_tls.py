"""The cache over TLS: the certificate is verified, always."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

from tests.cache_blocks import text_block
from tests.cache_servers import answering, listening, running_valkey
from tests.faults import Proxy
from trunkline.cache.store import connect_cache


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority, tmp_path) -> Path:
    path: Path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path


@contextmanager
def valkey_with_tls(authority: trustme.CA, host: str = "127.0.0.1") -> Iterator[str]:
    """Give the URL of a server, at 127.0.0.1, whose certificate is for *host*."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(context)
    with running_valkey() as server, Proxy.before_redis(server.url, tls=context) as proxy:
        yield proxy.url


@pytest.fixture
def url(authority) -> Iterator[str]:
    with valkey_with_tls(authority) as url:
        yield url


def warnings_of(url: str, rows: int = 100_000) -> list[str]:
    """Store a block (of a few MiB) and find it again, and return the warnings if that fails."""
    warnings: list[str] = []
    cache = connect_cache(url, warn=warnings.append)
    block = text_block(rows)
    cache.put_text("00", block)
    found = cache.get_text("00")
    cache.close()

    assert (found is None) == bool(warnings)
    assert found is None or found.batch.equals(block.batch)
    return warnings


def test_a_certificate_of_the_ca_in_the_url_is_accepted(url, ca_file):
    """As managed services give one; blocks pass whole in both directions."""
    assert warnings_of(f"{url}?ssl_ca_certs={ca_file}") == []


def test_every_new_connection_can_be_used(url, ca_file):
    """Also when the session tickets of TLS 1.3 arrive before the first reply."""
    for _ in range(20):
        assert warnings_of(f"{url}?ssl_ca_certs={ca_file}", rows=1) == []


def test_a_certificate_of_an_unknown_ca_is_refused(url):
    """The CAs of the system do not know it."""
    (warning,) = warnings_of(url)

    assert warning == (
        f"cache at {url.removesuffix('/0')}: its certificate cannot be trusted (unable to get local issuer "
        "certificate); name its CA with ssl_ca_certs; the work goes on without it, slower, with the same result"
    )


def test_a_certificate_of_another_ca_is_refused(url, tmp_path):
    """Only the CA that is named counts."""
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(other)

    (warning,) = warnings_of(f"{url}?ssl_ca_certs={other}")

    assert "its certificate cannot be trusted" in warning


def test_a_certificate_of_another_host_is_refused(authority, ca_file):
    """Whoever holds some certificate of the same CA is not the server."""
    with valkey_with_tls(authority, "elsewhere.example") as url:
        (warning,) = warnings_of(f"{url}?ssl_ca_certs={ca_file}")

    assert "its certificate cannot be trusted (IP address mismatch" in warning


def test_the_name_may_differ_where_the_url_says_so(authority, ca_file):
    """A tunnel to the server ends here; only the CA that is named is trusted then."""
    with valkey_with_tls(authority, "elsewhere.example") as url:
        assert warnings_of(f"{url}?ssl_check_hostname=no&ssl_ca_certs={ca_file}") == []


def test_a_missing_ca_file_is_one_warning(url, tmp_path):
    """The work goes on without the cache, never without the check."""
    (warning,) = warnings_of(f"{url}?ssl_ca_certs={tmp_path}/none.pem")

    assert "No such file or directory (ENOENT)" in warning


def test_a_port_with_tls_is_no_use_without_it(url):
    """Whoever forgot the s of rediss."""
    plain = url.replace("rediss://", "redis://")

    (warning,) = warnings_of(f"{plain}?socket_timeout=0.3")

    assert warning.startswith(f"cache at {plain.removesuffix('/0')}: ")


def test_a_port_without_tls_is_refused():
    """What comes back is no handshake."""
    with listening(answering(b"-ERR unknown command\r\n")) as port:
        (warning,) = warnings_of(f"rediss://127.0.0.1:{port}")

    assert "the TLS handshake failed" in warning
    assert "does that port speak TLS?" in warning
