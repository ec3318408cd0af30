"""The table of roles: what each serves (port → provider in containers), runs, stores and listens on. No logic."""

from __future__ import annotations

from dataclasses import dataclass, field

from xinyu.contact.port import ApplicationPort, ContactGroupPort, ContactPort
from xinyu.delivery.port import CompletionPort, DelivererPort, DeliveryPort
from xinyu.group.port import GroupApplyPort, GroupPort, MembershipPort
from xinyu.kernel.port import Port
from xinyu.media.port import EmoticonPort, MediaPort, UploadPort
from xinyu.message.port import ConversationPort, DevicePort, EffectPort, MessagePort
from xinyu.presence.port import PresencePort
from xinyu.user.port import AccountPort, CodePort, CredentialPort, LoginPort, ProfilePort


@dataclass(frozen=True, slots=True)
class RoleSpec:
    """One role. Values are names of providers; what a role needs is read from its constructors."""

    text: str
    ports: dict[type[Port], str] = field(default_factory=dict)
    runs: tuple[str, ...] = ()
    """Providers with a `run()` that works for ever."""
    readings: tuple[str, ...] = ()
    """Providers with `readings()` for metrics."""
    drains: tuple[str, ...] = ()
    """Providers with a `drained()` to wait for while stopping."""
    listeners: tuple[str, ...] = ()
    """http: REST; ws: WebSocket."""
    domain: str = ""
    """The package whose `migrations/` this role wants, and its key in storage.dsn_by_role."""


ROLES: dict[str, RoleSpec] = {
    "gateway_http": RoleSpec("REST for clients", readings=("authenticator", "services"), listeners=("http",)),
    "gateway_ws": RoleSpec(
        "WebSocket for clients",
        ports={DelivererPort: "deliverer"},
        runs=("deliverer", "socket_housekeeping"),
        readings=("authenticator", "services", "hub", "requests", "deliverer"),
        drains=("requests",),
        listeners=("ws",),
    ),
    "user": RoleSpec(
        "accounts, profiles, log-ins, codes",
        ports={
            AccountPort: "account_service",
            CredentialPort: "credential_service",
            ProfilePort: "profile_service",
            LoginPort: "login_service",
            CodePort: "code_service",
        },
        runs=("user_housekeeping",),
        readings=("databases", "password_queue"),
        domain="user",
    ),
    "contact": RoleSpec(
        "friendships, applications, groups of contacts",
        ports={
            ContactPort: "contact_service",
            ApplicationPort: "application_service",
            ContactGroupPort: "contact_group_service",
        },
        runs=("contact_relay",),
        readings=("databases",),
        domain="contact",
    ),
    "group": RoleSpec(
        "groups and their members",
        ports={
            GroupPort: "group_service",
            MembershipPort: "membership_service",
            GroupApplyPort: "group_apply_service",
        },
        runs=("group_relay",),
        readings=("databases",),
        domain="group",
    ),
    "message": RoleSpec(
        "conversations and their log",
        ports={
            MessagePort: "message_service",
            ConversationPort: "conversation_service",
            DevicePort: "device_service",
            EffectPort: "effect_service",
            CompletionPort: "pusher",
        },
        runs=("appender", "pusher", "outbox_run"),
        readings=("databases", "appender", "pusher", "outbox_run"),
        drains=("appender",),
        domain="message",
    ),
    "delivery": RoleSpec(
        "the fan-out of pushes",
        ports={DeliveryPort: "delivery_service"},
        runs=("delivery_service",),
        readings=("delivery_service",),
        drains=("delivery_service",),
    ),
    "presence": RoleSpec(
        "who is connected where",
        ports={PresencePort: "presence_service"},
        runs=("presence_service",),
        readings=("presence_service",),
    ),
    "media": RoleSpec(
        "uploads and files",
        ports={UploadPort: "upload_service", MediaPort: "media_service", EmoticonPort: "emoticon_service"},
        runs=("upload_sweep",),
        readings=("databases", "images"),
        domain="media",
    ),
}

ROLE_OF: dict[type[Port], str] = {port: role for role, spec in ROLES.items() for port in spec.ports}
"""Who serves a port."""
