"""Errors: the one tree of everything Perennial refuses to do silently.

::

    PerennialError
    ├── DeclarationError      a pipeline's declaration contradicts itself
    ├── SourceError           a source is absent, unreadable or not what its name says
    │   └── SourceUnreachable   it could not be looked at, which says nothing of what it holds
    ├── LandedMeanwhile       another run landed the partition from another delivery
    ├── SchemaSkew            a partition does not fit the declared schema
    ├── PartitionBlocked      a partition that a later step needs is missing or blocked
    ├── HistoryTooShort       a training window reaches back before there is data
    ├── NoMatureLabels        no row of a training window has a label known by its as-of
    ├── RuleBroken            a declared rule of the organisation forbids it
    ├── BundleError           a bundle is damaged, or is not the one that was asked for
    ├── FeatureError          a feature is not a row-wise expression of the allow-list
    ├── RequestError          a prediction or feedback request does not fit the bundle's schema
    ├── UnknownModel          no such pipeline, or none of its versions serves
    ├── UnknownSource         no such pipeline takes pushed events
    ├── UnknownPrediction     feedback names a prediction that this system never made
    ├── OnlineStoreDown       the online store does not answer, or not with what was written
    └── VersionHeld           a clean-up would remove what a registered model still names

A refusal by a gate or a retraining policy is a value with a reason, not an error.
"""

from __future__ import annotations

from typing import Self

Misfit = tuple[str, object, str]
"""Where in a declaration, what was found there, what was expected: what a DeclarationError will say."""


class PerennialError(Exception):
    """What went wrong, where, what was found, what was expected, and what to do about it."""

    def __init__(
        self,
        what: str,
        *,
        where: str,
        found: str | None = None,
        expected: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.what = what
        self.where = where
        self.found = found
        self.expected = expected
        self.hint = hint
        super().__init__(str(self))

    @classmethod
    def because(cls, what: str, cause: PerennialError, *, where: str) -> Self:
        """What went wrong, for all that `cause` says of it but its place."""
        return cls(f"{what}: {cause.what}", where=where, found=cause.found, expected=cause.expected, hint=cause.hint)

    def __str__(self) -> str:
        """One line: `where: what, found …, expected …. Hint: …`."""
        line = f"{self.where}: {self.what}"
        if self.found is not None:
            line += f", found {self.found}"
        if self.expected is not None:
            line += f", expected {self.expected}"
        line = line.rstrip(".") + "."
        return f"{line} Hint: {self.hint}" if self.hint else line


class DeclarationError(PerennialError):
    """A pipeline's declaration contradicts itself; it fails when it is loaded."""


class SourceError(PerennialError):
    """A source is absent, unreadable or not what its name says."""

    signature: str | None = None
    """Of the file that was judged; None when there was none."""


class SourceUnreachable(SourceError):
    """A source, or a file in it, could not be looked at or is gone: that says nothing of the content."""


class LandedMeanwhile(PerennialError):
    """Another run landed the partition from another delivery; its rows stand, and this delivery comes after them."""


class SchemaSkew(PerennialError):
    """A partition does not fit the declared schema; nothing downstream may see it."""


class PartitionBlocked(PerennialError):
    """A partition that a later step needs is missing or blocked."""


class HistoryTooShort(PerennialError):
    """A training window reaches back before there is data."""


class NoMatureLabels(PerennialError):
    """No row of a training window has a label known by its as-of instant."""


class RuleBroken(PerennialError):
    """A rule, of the declaration or of the organisation, forbids what was asked for."""


class BundleError(PerennialError):
    """A bundle is damaged, or is not the one that was asked for."""


class FeatureError(PerennialError):
    """A feature is not a row-wise expression of the allow-list."""


class RequestError(PerennialError):
    """A request does not fit the schema of the bundle that would answer it."""


class UnknownModel(PerennialError):
    """No such pipeline, or none of its versions serves."""


class UnknownPrediction(PerennialError):
    """Feedback names a prediction that this system never made."""


class VersionHeld(PerennialError):
    """A clean-up would remove what a registered model still names."""


class OnlineStoreDown(PerennialError):
    """The online store does not answer, or not with what was written; who serves falls back, and says so."""


class UnknownSource(PerennialError):
    """No such pipeline takes pushed events, or no server was told of it."""
