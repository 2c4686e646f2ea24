"""Which engine a setting names: threads of this process, or Dask workers and where their scheduler is."""

from __future__ import annotations

from typing import Final

_SCHEMES: Final = {"dask": "tcp", "dask+tls": "tls"}


def check_engine(name: str) -> str:
    """
    Return *name* if it is an engine.

    Raises:
        ValueError: With what was expected.
    """
    scheme, mark, place = name.partition("://")
    if name in ("threads", "dask") or (mark and scheme in _SCHEMES and _has_port(place)):
        return name
    raise ValueError("expected threads, dask, dask://HOST:PORT, or dask+tls://HOST:PORT for TLS")


def _has_port(place: str) -> bool:
    host, mark, port = place.rpartition(":")
    return bool(host and mark) and port.isascii() and port.isdigit()


def scheduler_address(engine: str) -> str | None:
    """
    Return the address of the scheduler as Dask writes it, or None for a cluster of the run's own.

        >>> scheduler_address("dask://10.0.0.7:8786")
        'tcp://10.0.0.7:8786'
    """
    scheme, mark, place = engine.partition("://")
    return f"{_SCHEMES[scheme]}://{place}" if mark else None
