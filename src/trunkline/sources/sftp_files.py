"""Files over SFTP: fsspec's file system, with the keys of hosts that the user knows."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

import paramiko
from fsspec.implementations.sftp import SFTPFileSystem

_PORT = 22
_CONNECT_S = 30
_SILENCE_S = 120


class _KnownHosts(SFTPFileSystem):  # type: ignore[misc]
    """Refuses a host whose key is not the one in ``~/.ssh/known_hosts``; one that is not in there is taken as new."""

    def _connect(self) -> None:
        self.client = paramiko.SSHClient()
        self.client.load_system_host_keys()
        self.client.set_missing_host_key_policy(_Accept())
        self.client.connect(self.host, timeout=_CONNECT_S, **self.ssh_kwargs)
        self.ftp = self.client.open_sftp()
        self.ftp.get_channel().settimeout(_SILENCE_S)

    def keep_connected(self) -> None:
        """Connect again if the session was lost: fsspec hands out one object for all files of a host."""
        transport = self.client.get_transport()
        if transport is None or not transport.is_active():
            self._connect()


class _Accept(paramiko.MissingHostKeyPolicy):  # type: ignore[misc]
    """Takes the key of an unknown host for this connection, and remembers nothing."""

    def missing_host_key(self, client: Any, hostname: Any, key: Any) -> None:
        return


def open_sftp(url: str) -> tuple[Any, str]:
    """Return the file system of the host in *url*, connected, and the path on it."""
    _, _, rest = url.partition("://")
    address, _, path = rest.partition("/")
    host = urlsplit(f"sftp://{address}")
    options: dict[str, Any] = {"host": host.hostname or "", "port": host.port or _PORT}
    if host.username:
        options["username"] = unquote(host.username)
    if host.password:
        options["password"] = unquote(host.password)
    filesystem = _KnownHosts(**options)
    filesystem.keep_connected()
    return filesystem, f"/{path}"
