"""Bucket: a source's files in an object store: S3 and what speaks like it, Google's, Azure's.

Credentials, region and endpoint come from the provider's own environment variables, such as
AWS_ACCESS_KEY_ID and AWS_ENDPOINT_URL.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError, NotFoundError, PermissionDeniedError, UnauthenticatedError
from obstore.store import from_url

from perennial.errors import SourceUnreachable
from perennial.stores.sources.addresses import file_name, public_address
from perennial.stores.sources.content import Content, take
from perennial.stores.sources.folder import changed_while_read

RETRIES = 3
LONGEST = timedelta(seconds=60)
"""Of all retries of one request; a stream that breaks is taken up again within it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """Objects by their addresses: `s3://bucket/key`, `gs://bucket/key`, `az://container/key`."""

    spool: Path
    timeout: timedelta = timedelta(seconds=30)
    retries: int = RETRIES

    def fetch(self, location: str, *, where: str) -> Content:
        """The object at `location` as it is now. Raises SourceError, also when it changes meanwhile."""
        name, key = file_name(location), _key(location)
        with _told(location, where=where):
            store = self._store(location)
            answer = obstore.get(store, key)
            signature = _signature(answer.meta)
            content = take(
                _Stream(iter(answer.stream())),
                spool=self.spool,
                name=name,
                uri=public_address(location),
                signature=signature,
            )
            now = _signature(obstore.head(store, key))
        if now != signature or content.size != answer.meta["size"]:
            raise changed_while_read(name, where=where)
        return content

    def signatures(self, locations: Mapping[str, str], *, where: str) -> dict[str, str]:
        """ETag and size of each of `locations` that is there; one listing of each folder they share."""
        found: dict[str, str] = {}
        for folder in {_folder(location) for location in locations.values()}:
            with _told(folder, where=where):
                pages = obstore.list(self._store(folder), prefix=_key(folder) or None)
                there = {str(meta["path"]): _signature(meta) for page in pages for meta in page}
            for key, location in locations.items():
                if _folder(location) == folder and _key(location) in there:
                    found[key] = there[_key(location)]
        return found

    def _store(self, location: str) -> Any:
        parts = urlsplit(location)
        return from_url(
            f"{parts.scheme}://{parts.netloc}",
            # Providers' own endpoints are https; whoever sets another one says its scheme.
            client_options={"timeout": self.timeout, "connect_timeout": self.timeout / 3, "allow_http": True},
            retry_config={"max_retries": self.retries, "retry_timeout": LONGEST},
        )


class _Stream:
    """Blocks as something to read from, whatever size is asked for."""

    def __init__(self, blocks: Iterator[Any]) -> None:
        self._blocks = blocks

    def read(self, _size: int, /) -> bytes:
        return bytes(next(self._blocks, b""))


def _key(location: str) -> str:
    return unquote(urlsplit(location).path).lstrip("/")


def _folder(location: str) -> str:
    parts = urlsplit(location)
    parent = str(PurePosixPath(parts.path).parent)
    return f"{parts.scheme}://{parts.netloc}{parent if parent != '/' else ''}"


def _signature(meta: Mapping[str, Any]) -> str:
    # Azure's and Google's tags have quotes in the answer to one kind of question and none in that to another.
    tag = str(meta.get("e_tag") or meta["last_modified"]).strip('"')
    return f"{tag}|{meta['size']}"


@contextmanager
def _told(location: str, *, where: str) -> Iterator[None]:
    """The store's errors as one of the source."""
    address = public_address(location)
    try:
        yield
    except (NotFoundError, FileNotFoundError) as error:  # some versions raise Python's own
        raise SourceUnreachable(
            f"{file_name(location)} is not there",
            where=where,
            found=f"no object {address}",
            expected="an object that can be read",
            hint="wait until the source has delivered it, or look at the bucket's name",
        ) from error
    except (PermissionDeniedError, UnauthenticatedError) as error:
        raise SourceUnreachable(
            "the source refuses these credentials",
            where=where,
            found=f"{type(error).__name__} at {address}",
            expected="credentials that may read and list it",
            hint="set the provider's variables, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        ) from error
    except BaseError as error:
        raise SourceUnreachable(
            "the source cannot be reached",
            where=where,
            found=f"{_first_words(error)} at {address}",
            expected="an answer of the object store",
            hint="look at the network, the bucket and the provider's variables, such as AWS_ENDPOINT_URL",
        ) from error


def _first_words(error: Exception) -> str:
    text = " ".join(str(error).split("Debug source", 1)[0].split())
    return text[:300] if text else type(error).__name__
