"""Web: a source's files behind HTTP addresses.

A download that breaks goes on where it stopped, also after a kill, as long as the server says that the
file is still the same. Tries and waits are bounded.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import httpx

from perennial.errors import SourceError, SourceUnreachable
from perennial.stores.sources.addresses import file_name, public_address
from perennial.stores.sources.content import Content, adopt

T = TypeVar("T")
ABSENT = (403, 404, 410)
"""Object stores that may not be listed answer 403 where nothing is."""
PASSING = (408, 425, 429, 500, 502, 503, 504)
"""Statuses that another try may mend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long one file is tried for."""

    tries: int = 5
    """In a row without a byte of progress."""
    looks: int = 2
    """Tries of one look at whether a file is new."""
    first_wait: timedelta = timedelta(seconds=0.5)
    """Doubled from try to try."""
    longest_wait: timedelta = timedelta(seconds=15)
    connect: timedelta = timedelta(seconds=10)
    silence: timedelta = timedelta(seconds=30)
    """Between two blocks of an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a server says of a file, by which one knows it again."""

    etag: str = ""
    modified: str = ""
    length: int | None = None
    sha256: str = ""
    """Of the content, where the server says nothing that changes with it."""

    @property
    def signature(self) -> str:
        """What changes when the file does; a length alone may stay, so that then the content counts."""
        if not (self.etag or self.modified):
            return self.sha256
        return "|".join(filter(None, (self.etag, self.modified, str(self.length or ""))))

    @property
    def validator(self) -> str | None:
        """What a server can compare byte for byte; a weak ETag cannot."""
        return self.etag if self.etag.startswith('"') else self.modified or None


class _Broken(Exception):
    """An answer that another try may complete."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Web:
    """Files by their http and https addresses."""

    spool: Path
    setting: str = "the source's root"
    """What names the address, for messages."""
    patience: Patience = field(default_factory=Patience)
    wait: Callable[[float], None] = time.sleep

    def fetch(self, location: str, *, where: str) -> Content:
        """The file at `location`, whole. Raises SourceError when it cannot be had."""
        part = self._part(location)
        with part.with_suffix(".lock").open("w") as lock, self._client() as client:
            fcntl.flock(lock, fcntl.LOCK_EX)  # another process may be at the same file; a kill frees it
            seen = self._download(client, location, part, where=where)
            part.with_suffix(".json").unlink(missing_ok=True)
            return adopt(part, name=file_name(location), uri=public_address(location), signature=seen.signature)

    def signatures(self, locations: Mapping[str, str], *, where: str) -> dict[str, str]:
        """What the server says of each of `locations` that is there, else the hash of what it sends.

        Raises SourceError when it cannot be asked.
        """
        with self._client() as client, ThreadPoolExecutor(max_workers=8) as pool:
            asked = {key: pool.submit(self._look, client, one, where=where) for key, one in locations.items()}
            try:
                found = {key: answer.result() for key, answer in asked.items()}
            except SourceError:
                pool.shutdown(cancel_futures=True)  # one that cannot be asked speaks for all
                raise
        return {key: seen.signature for key, seen in found.items() if seen is not None}

    def _part(self, location: str) -> Path:
        folder = self.spool / "downloads"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{hashlib.sha256(location.encode()).hexdigest()[:32]}.part"

    def _client(self) -> httpx.Client:
        silence, connect = self.patience.silence.total_seconds(), self.patience.connect.total_seconds()
        return httpx.Client(
            timeout=httpx.Timeout(silence, connect=connect),
            follow_redirects=True,
            # Lengths and ranges are those of the file, not of its compression.
            headers={"accept-encoding": "identity", "user-agent": "perennial"},
        )

    def _look(self, client: httpx.Client, location: str, *, where: str) -> Seen | None:
        def look() -> Seen | None:
            answer = client.head(location)
            if answer.status_code in ABSENT:
                return None
            if answer.status_code not in (405, 501):
                seen = self._judge(answer, location, where=where)
                if seen.signature:
                    return seen
            with client.stream("GET", location) as answer:  # where HEAD is refused, or says nothing of the content
                if answer.status_code in ABSENT:
                    return None
                seen = self._judge(answer, location, where=where)
                return seen if seen.signature else replace(seen, sha256=_hash(answer))

        return self._try(look, location, where=where)

    def _download(self, client: httpx.Client, location: str, part: Path, *, where: str) -> Seen:
        def download() -> Seen:
            before, have = _kept(part)
            headers = {"range": f"bytes={have}-", "if-range": before.validator or ""} if have else {}
            with client.stream("GET", location, headers=headers) as answer:
                return self._receive(answer, location, part, before, have, where=where)

        return self._try(download, location, where=where, part=part)

    def _receive(
        self, answer: httpx.Response, location: str, part: Path, before: Seen, have: int, *, where: str
    ) -> Seen:
        """Append what comes to `part`; start anew unless the server goes on with the same file."""
        if answer.status_code == 416:
            part.unlink(missing_ok=True)
            raise _Broken("the server no longer has the rest of the file")
        seen = self._judge(answer, location, where=where)
        goes_on = answer.status_code == 206
        if goes_on and not _continues(answer, seen, before, have):
            part.unlink(missing_ok=True)
            raise _Broken("the file changed between two parts of it")
        if not goes_on:
            have = 0
        length = before.length if goes_on else seen.length
        whole = Seen(etag=seen.etag, modified=seen.modified, length=length)
        part.with_suffix(".json").write_text(json.dumps(asdict(whole)))
        with part.open("ab" if goes_on else "wb") as file:
            for block in answer.iter_raw():
                file.write(block)
                have += len(block)
        if length is not None and have != length:
            raise _Broken(f"{have:,} of {length:,} bytes came")
        return whole

    def _judge(self, answer: httpx.Response, location: str, *, where: str) -> Seen:
        """What a good answer says of the file; another status is an error, or worth another try."""
        status = answer.status_code
        if status in PASSING:
            raise _Broken(f"status {status} {answer.reason_phrase}")
        if status not in (200, 206):
            raise SourceUnreachable(
                f"{file_name(location)} cannot be had",
                where=where,
                found=f"status {status} {answer.reason_phrase} of {public_address(location)}",
                expected="status 200",
                hint="wait until the source has delivered it, or look at the address" if status in ABSENT else None,
            )
        length = answer.headers.get("content-length", "")
        return Seen(
            etag=answer.headers.get("etag", ""),
            modified=answer.headers.get("last-modified", ""),
            length=int(length) if length.isdigit() else None,
        )

    def _try(self, attempt: Callable[[], T], location: str, *, where: str, part: Path | None = None) -> T:
        """What the first `attempt` that ends well gives; progress of `part` gives the full number again."""
        fruitless, had = 0, _size(part)
        most = self.patience.tries if part else self.patience.looks
        while True:
            try:
                return attempt()
            except (httpx.TransportError, _Broken) as error:
                kind = type(error).__name__.lstrip("_")
                problem = f"{kind}: {error}" if str(error) else kind
            now = _size(part)
            fruitless = 0 if now > had else fruitless + 1
            had = now
            if fruitless >= most:
                raise SourceUnreachable(
                    "the source cannot be reached",
                    where=where,
                    found=f"{problem}, {fruitless} times in a row, at {public_address(location)}",
                    expected="an answer",
                    hint=f"look at the network; what has come is kept, and the next attempt goes on; "
                    f"or set {self.setting} to a folder that holds the files",
                )
            pause = self.patience.first_wait * 2 ** min(fruitless, 10)
            self.wait(min(pause, self.patience.longest_wait).total_seconds())


def _hash(answer: httpx.Response) -> str:
    digest = hashlib.sha256()
    for block in answer.iter_raw():
        digest.update(block)
    return digest.hexdigest()


def _kept(part: Path) -> tuple[Seen, int]:
    """What an earlier try left, if the server can tell whether the file is still the same."""
    with suppress(OSError, ValueError, TypeError):
        seen = Seen(**json.loads(part.with_suffix(".json").read_text()))
        if seen.validator:
            return seen, _size(part)
    return Seen(), 0


def _size(part: Path | None) -> int:
    return part.stat().st_size if part is not None and part.exists() else 0


def _continues(answer: httpx.Response, seen: Seen, before: Seen, have: int) -> bool:
    """Whether a partial answer is the rest of the very file whose start was kept."""
    asked = answer.headers.get("content-range", "")
    same = (not seen.etag or seen.etag == before.etag) and (not seen.modified or seen.modified == before.modified)
    total = "" if before.length is None else str(before.length)
    return same and asked.startswith(f"bytes {have}-") and (not total or asked.endswith((f"/{total}", "/*")))
