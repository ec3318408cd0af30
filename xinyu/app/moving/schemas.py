"""The tables of every domain, by the role that keeps them."""

from __future__ import annotations

from xinyu.app.roles import ROLES
from xinyu.app.shape import histories_of
from xinyu.contact.tables import METADATA as CONTACT
from xinyu.group.tables import metadata as GROUP
from xinyu.media.tables import METADATA as MEDIA
from xinyu.message.store_sql.tables import METADATA as MESSAGE
from xinyu.storage.copying.tables import Schema, schema_of
from xinyu.user.tables import METADATA as USER

_METADATA = {"user": USER, "contact": CONTACT, "group": GROUP, "message": MESSAGE, "media": MEDIA}


def schemas() -> dict[str, Schema]:
    """Role → schema, in the order of the table of roles."""
    return {role: schema_of(history, _METADATA[history.domain]) for role, history in histories_of(ROLES)}
