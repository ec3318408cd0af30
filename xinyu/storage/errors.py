"""What can go wrong with an engine, translated from the drivers' own errors."""

from __future__ import annotations

from xinyu.kernel.errors import Category, Unavailable, XinyuError


class StorageUnavailable(Unavailable):
    """The database cannot be reached or refused to work; nothing was changed."""

    code = "storage.unavailable"


class CommitUnknown(Unavailable):
    """The connection broke while committing; the change may or may not have been made."""

    code = "storage.commit_unknown"


class UniqueViolation(XinyuError):
    """A row with this key exists already."""

    category = Category.CONFLICT
    code = "storage.unique"


class EffectPending(Unavailable):
    """The change is recorded and will take effect in a moment."""

    code = "storage.effect_pending"
