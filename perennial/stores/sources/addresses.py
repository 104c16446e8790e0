"""Addresses: where remote files are, in a form that may be shown and kept."""

from __future__ import annotations

from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit, urlunsplit

WEB = ("http", "https")
OBJECTS = ("s3", "gs", "az")


def scheme_of(location: str) -> str:
    """The scheme of an address, or nothing for a path."""
    return location.partition("://")[0].lower() if "://" in location else ""


def public_address(location: str) -> str:
    """`location` without user, password, query and fragment: signed addresses carry their secret there.

    >>> public_address("https://me:secret@host:8080/a/b.parquet?sig=xyz")
    'https://host:8080/a/b.parquet'
    """
    parts = urlsplit(location)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def file_name(location: str) -> str:
    """The last part of an address's path."""
    return unquote(PurePosixPath(urlsplit(location).path).name) or public_address(location)
