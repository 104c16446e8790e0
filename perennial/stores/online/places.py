"""Places: which online store an address names, for everyone the same."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from perennial.errors import PerennialError


def place_of(url: str, *, home: Path) -> str:
    """The store at `url`, however it is written and whoever asks it; a file in `home` by its name there.

    So a rotated password or a home that was moved leaves a store what it was. Raises PerennialError for no
    address of a store.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise no_store(url) from error
    match parts.scheme:
        case "sqlite":
            file = Path(url.removeprefix("sqlite:///"))
            return f"{file.relative_to(home)} in the home" if file.is_relative_to(home) else str(file.absolute())
        case "redis" | "rediss" if parts.hostname:
            return f"redis://{parts.hostname}:{port or 6379}/{parts.path.strip('/') or '0'}"
        case "postgresql" | "postgres":
            return f"postgresql://{parts.hostname or '127.0.0.1'}:{port or 5432}/{parts.path.strip('/')}"
    raise no_store(url)


def no_store(url: str) -> PerennialError:
    """The error for an address that names no store; of one, which may hold a password, only the scheme is told."""
    return PerennialError(
        "no online store is known at this address", where="settings",
        found=f"PERENNIAL_ONLINE_STORE={url.partition('://')[0][:20]}://…",
        expected="sqlite:///FILE, redis://HOST:PORT/DB or postgresql://USER@HOST/DB",
    )  # fmt: skip
