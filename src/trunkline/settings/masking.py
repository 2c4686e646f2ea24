"""Addresses of servers without what is secret in them."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

MASK = "***"
_SHOWN_KEYWORDS = ("host", "hostaddr", "port", "dbname", "user", "service", "sslmode")


def mask_url(url: str) -> str:
    """
    Return a URL, or keywords as libpq knows them, without password, options and whatever may be part of one.

    A password that is not percent-encoded may turn up anywhere; what does not look right is masked as a whole.

    >>> mask_url("postgresql://calls:canary@db.example:5433/cdr?sslmode=require")
    'postgresql://calls:***@db.example:5433/cdr?***'
    >>> mask_url("host=db.example password=canary")
    'host=db.example ***'
    """
    if "://" not in url:
        return url if re.fullmatch("[a-z]*", url) else _mask_keywords(url)
    try:
        parts = urlsplit(url)
    except ValueError:
        return MASK
    if "@" in parts.path + parts.query + parts.fragment or parts.fragment:
        return f"{parts.scheme}://{MASK}"
    credentials, at, host = parts.netloc.rpartition("@")
    user, colon, _ = credentials.partition(":")
    # A name without a password may be a token or a password in the wrong place.
    shown = f"{user}:{MASK}" if colon else MASK
    return f"{parts.scheme}://{shown + at if at else ''}{host}{parts.path}{f'?{MASK}' if parts.query else ''}"


def _mask_keywords(text: str) -> str:
    if "'" in text or "\\" in text:  # quoted values may hold anything, also what looks like another keyword
        return MASK
    parts = re.findall(r"(\w+)\s*=\s*(\S*)", text)
    shown = [f"{name}={value}" for name, value in parts if name in _SHOWN_KEYWORDS]
    return " ".join([*shown, MASK] if len(shown) < len(parts) or not parts else shown)
