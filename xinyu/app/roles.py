"""The table of roles: what each serves (port → provider in containers.py), listens on and runs. No logic."""

from __future__ import annotations

from dataclasses import dataclass, field

from xinyu.group.port import GroupApplyPort, GroupPort, MembershipPort
from xinyu.kernel.port import Port


@dataclass(frozen=True, slots=True)
class RoleSpec:
    """One role. Values are attribute names of `Container`; what a role needs is read from its constructors."""

    text: str
    ports: dict[type[Port], str] = field(default_factory=dict)
    runs: tuple[str, ...] = ()
    listeners: tuple[str, ...] = ()
    histories: tuple[str, ...] = ()
    """Domains whose migrations this role wants."""
    store: str = ""
    """Key of storage.dsn_by_role."""


ROLES: dict[str, RoleSpec] = {
    "group": RoleSpec(
        "Groups, their members, applications to join them.",
        ports={
            GroupPort: "group_service",
            MembershipPort: "membership_service",
            GroupApplyPort: "group_apply_service",
        },
        runs=("group_relay",),
        histories=("group",),
        store="group",
    ),
}
