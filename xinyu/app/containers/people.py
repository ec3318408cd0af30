"""Contact and group: what sits above message."""

from __future__ import annotations

from dependency_injector import providers

from xinyu.app.containers.infrastructure import Infrastructure, database_of, stub
from xinyu.contact.applications import ApplicationService
from xinyu.contact.effects import applied_by
from xinyu.contact.groups import ContactGroupService
from xinyu.contact.service import ContactService
from xinyu.contact.store_sql import SqlPairStore
from xinyu.contact.store_sql_groups import SqlContactGroupStore
from xinyu.contact.tables import effects as contact_effects
from xinyu.group.applications import GroupApplyService
from xinyu.group.changes import Changes
from xinyu.group.memberships import MembershipService
from xinyu.group.service import GroupService
from xinyu.group.store_sql import GroupStoreSql
from xinyu.group.tables import group_effect
from xinyu.message.port import ConversationPort, EffectPort, MessagePort
from xinyu.presence.port import PresencePort
from xinyu.storage.effects import EffectLog, EffectRelay
from xinyu.user.port import ProfilePort


class ContactContainer(Infrastructure):
    """Friendships."""

    _mine = Infrastructure.settings.provided.contact
    _clock = Infrastructure.clock
    contact_db = database_of("contact")
    contact_effect_log = providers.Singleton(EffectLog, contact_db, providers.Object(contact_effects), _clock)
    contact_relay = providers.Singleton(
        EffectRelay, contact_effect_log, providers.Callable(applied_by, stub(EffectPort)), _clock, "contact"
    )
    pair_store = providers.Singleton(SqlPairStore, contact_db, contact_effect_log)
    contact_service = providers.Singleton(
        ContactService,
        pair_store,
        contact_relay,
        stub(ProfilePort),
        stub(PresencePort),
        stub(MessagePort),
        stub(ConversationPort),
        _clock,
    )
    application_service = providers.Singleton(
        ApplicationService, pair_store, contact_relay, stub(ProfilePort), _clock, _mine
    )
    contact_group_service = providers.Singleton(
        ContactGroupService, providers.Singleton(SqlContactGroupStore, contact_db), _mine
    )


class GroupContainer(Infrastructure):
    """Groups."""

    _mine = Infrastructure.settings.provided.group
    _clock = Infrastructure.clock
    group_db = database_of("group")
    group_effect_log = providers.Singleton(EffectLog, group_db, providers.Object(group_effect), _clock)
    group_relay = providers.Singleton(
        EffectRelay, group_effect_log, providers.Callable(applied_by, stub(EffectPort)), _clock, "group"
    )
    group_store = providers.Singleton(GroupStoreSql, group_db, group_effect_log)
    group_changes = providers.Singleton(Changes, group_store, stub(ProfilePort), group_relay.provided.carry_out, _clock)
    group_service = providers.Singleton(GroupService, group_store, group_changes, _mine)
    membership_service = providers.Singleton(MembershipService, group_store, group_changes, _mine)
    group_apply_service = providers.Singleton(GroupApplyService, group_store, group_changes)
