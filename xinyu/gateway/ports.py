"""The ports that gateways call. Each is a stub: where its service runs is none of a handler's business."""

from __future__ import annotations

from dataclasses import dataclass

from xinyu.contact.port import ApplicationPort, ContactGroupPort, ContactPort
from xinyu.delivery.port import DeliveryPort
from xinyu.group.port import GroupApplyPort, GroupPort, MembershipPort
from xinyu.media.port import Blobs, EmoticonPort, MediaPort, UploadPort
from xinyu.message.port import ConversationPort, DevicePort, MessagePort
from xinyu.presence.port import PresencePort
from xinyu.user.port import AccountPort, CodePort, CredentialPort, LoginPort, ProfilePort


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything a handler can ask."""

    messages: MessagePort
    conversations: ConversationPort
    devices: DevicePort
    presence: PresencePort
    delivery: DeliveryPort
    profiles: ProfilePort
    accounts: AccountPort
    credentials: CredentialPort
    logins: LoginPort
    codes: CodePort
    contacts: ContactPort
    contact_applications: ApplicationPort
    contact_groups: ContactGroupPort
    groups: GroupPort
    group_members: MembershipPort
    group_applications: GroupApplyPort
    uploads: UploadPort
    media: MediaPort
    emoticons: EmoticonPort
    blobs: Blobs
    """No port: the bytes themselves, which never travel by RPC (ADR 0006)."""
