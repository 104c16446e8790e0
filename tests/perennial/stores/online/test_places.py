"""Places: one name for one store, whoever asks it, and none that tells a secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from perennial.errors import PerennialError
from perennial.stores.online.places import place_of

HOME = Path("/state")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("redis://host", "redis://:secret@host:6379/0"),
        ("redis://host/2", "rediss://user:other@host/2"),
        ("postgresql://me@host/db", "postgres://you:a%40b@host:5432/db?sslmode=require"),
    ],
)
def test_a_store_has_one_place_however_it_is_written(one: str, other: str) -> None:
    assert place_of(one, home=HOME) == place_of(other, home=HOME)


def test_a_store_in_the_home_stays_where_it_is_when_the_home_is_moved() -> None:
    def inside(root: Path) -> str:
        return place_of(f"sqlite:///{root}/feature_store/online.db", home=root)

    assert inside(HOME) == inside(Path("/moved")) == "feature_store/online.db in the home"


def test_other_stores_have_other_places() -> None:
    urls = (
        "redis://host/0", "redis://host/1", "redis://host:7/0", "redis://there/0", "postgresql://host/0",
        "sqlite:////state/online.db", "sqlite:////elsewhere/online.db", "sqlite:///online.db",
    )  # fmt: skip

    assert len({place_of(url, home=HOME) for url in urls}) == len(urls)


@pytest.mark.parametrize(
    "url",
    [
        "redis://:pa/ss@host/0", "redis://:pa#ss@host", "redis://:s3?cret@host", "redis://:a[b@host/0", "redis://",
        "postgresql://me:pa/ss@host/db", "mysql://host/db", "online.db", "",
    ],
)  # fmt: skip
def test_what_names_no_store_is_refused_without_its_secrets(url: str) -> None:
    with pytest.raises(PerennialError, match="no online store is known at this address") as refused:
        place_of(url, home=HOME)

    assert not any(secret in str(refused.value) for secret in ("pa", "s3", "a[b"))
