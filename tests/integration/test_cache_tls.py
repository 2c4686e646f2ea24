"""The cache over TLS: the certificate is verified, always."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.cache_blocks import text_block
from tests.cache_servers import answering, listening, running_valkey, speaking_tls
from trunkline.cache import connect_cache


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority, tmp_path) -> Path:
    path: Path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path


@pytest.fixture
def port(authority) -> Iterator[int]:
    """Where a Valkey is reached by TLS, with a certificate for localhost."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with running_valkey() as server, listening(speaking_tls(context, server.path)) as port:
        yield port


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


def test_a_certificate_of_the_ca_in_the_url_is_accepted(port, ca_file):
    """As managed services give one; blocks pass whole in both directions."""
    assert warnings_of(f"rediss://localhost:{port}?ssl_ca_certs={ca_file}") == []


def test_every_new_connection_can_be_used(port, ca_file):
    """Also when the session tickets of TLS 1.3 arrive before the first reply."""
    for _ in range(40):
        assert warnings_of(f"rediss://localhost:{port}?ssl_ca_certs={ca_file}", rows=1) == []


def test_a_certificate_of_an_unknown_ca_is_refused(port):
    """The CAs of the system do not know it."""
    (warning,) = warnings_of(f"rediss://localhost:{port}")

    assert warning == (
        f"cache at rediss://localhost:{port}: its certificate cannot be trusted (unable to get local issuer "
        "certificate); name its CA with ssl_ca_certs; the work goes on without it, slower, with the same result"
    )


def test_a_certificate_of_another_ca_is_refused(port, tmp_path):
    """Only the CA that is named counts."""
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(other)

    (warning,) = warnings_of(f"rediss://localhost:{port}?ssl_ca_certs={other}")

    assert "its certificate cannot be trusted" in warning


def test_a_certificate_of_another_host_is_refused(port, ca_file):
    """Whoever holds some certificate of the same CA is not the server."""
    (warning,) = warnings_of(f"rediss://127.0.0.1:{port}?ssl_ca_certs={ca_file}")

    assert "IP address mismatch" in warning


def test_the_name_may_differ_where_the_url_says_so(port, ca_file):
    """A tunnel to the server ends here; only the CA that is named is trusted then."""
    assert warnings_of(f"rediss://127.0.0.1:{port}?ssl_check_hostname=no&ssl_ca_certs={ca_file}") == []


def test_a_missing_ca_file_is_one_warning(port, tmp_path):
    """The work goes on without the cache, never without the check."""
    (warning,) = warnings_of(f"rediss://localhost:{port}?ssl_ca_certs={tmp_path}/none.pem")

    assert "No such file or directory (ENOENT)" in warning


def test_tls_is_not_replaced_by_plain_text(port):
    """Nor the other way round: a port that speaks TLS is no use without it."""
    (warning,) = warnings_of(f"redis://localhost:{port}?socket_timeout=0.3")

    assert warning.startswith(f"cache at redis://localhost:{port}: ")


def test_a_port_without_tls_is_refused():
    """What comes back is no handshake."""
    with listening(answering(b"-ERR unknown command\r\n")) as port:
        (warning,) = warnings_of(f"rediss://localhost:{port}")

    assert "the TLS handshake failed" in warning
    assert "does that port speak TLS?" in warning
