"""Whatever is tried on a group, in any order and by anybody, its invariants hold."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from xinyu.group import rules
from xinyu.group.effects import Act
from xinyu.group.errors import GroupError
from xinyu.group.store import Change, Snapshot
from xinyu.group.types import Group, Member
from xinyu.kernel.ids import GroupId, MsgId, UserId
from xinyu.message.types import Role

USERS = [UserId(number) for number in range(1, 7)]
MOST = 4
OWNER = USERS[0]
Rule = Callable[[Snapshot, Act], Change]

user = st.sampled_from(USERS)
some = st.lists(user, max_size=4)
RULES: st.SearchStrategy[Rule] = st.one_of(
    some.map(lambda users: lambda snapshot, act: rules.invite(snapshot, act, users)),
    some.map(lambda users: lambda snapshot, act: rules.remove(snapshot, act, users)),
    st.just(rules.leave),
    user.map(lambda heir: lambda snapshot, act: rules.hand_over(snapshot, act, heir)),
    st.tuples(user, st.booleans()).map(lambda x: lambda snapshot, act: rules.set_admin(snapshot, act, *x)),
    st.tuples(user, st.integers(0, 60)).map(lambda x: lambda snapshot, act: rules.set_muted_until(snapshot, act, *x)),
    st.booleans().map(lambda muted: lambda snapshot, act: rules.set_mute_all(snapshot, act, muted)),
    st.just(lambda snapshot, act: rules.set_card(snapshot, act, "card")),
    st.just(lambda snapshot, act: rules.update(snapshot, act, "new", "", "")),
    st.just(rules.dismiss),
)


class Model:
    """A group in memory, and what message would know of it when it gets the effects in `order`."""

    def __init__(self) -> None:
        self.group = Group(GroupId(1), "g", "", "", OWNER, OWNER, False, False, MOST, 3, 1, 0)
        roles = {OWNER: Role.OWNER, USERS[1]: Role.ADMIN, USERS[2]: Role.MEMBER}
        self.members: dict[UserId, Member] = {
            user: rules.new_member(user, 1, role=role) for user, role in roles.items()
        }
        self.now = 1

    def attempt(self, user_id: UserId, rule: Rule) -> Change:
        """Try it; a refusal is no change."""
        self.now += 1
        act = Act(user_id, self.now, MsgId(f"{self.now:032x}"), {})
        try:
            change = rule(Snapshot(self.group, self.members), act)
        except GroupError:
            return Change()
        self.group = change.group or self.group
        self.members |= {member.user_id: member for member in change.members}
        return change


@given(st.lists(st.tuples(user, RULES), min_size=5, max_size=40))
def test_a_group_has_one_owner_and_is_never_too_full(attempts: list[tuple[UserId, Rule]]) -> None:
    model = Model()
    for user_id, rule in attempts:
        before = dict(model.members)
        change = model.attempt(user_id, rule)
        active = [member for member in model.members.values() if member.active]
        assert [member.user_id for member in active if member.role is Role.OWNER] == [model.group.owner_id]
        assert model.group.member_count == len(active) <= MOST
        assert all(not member.active or member.role is not Role.OWNER or not member.muted_until_ms for member in active)
        if change != Change():
            assert user_id in before and before[user_id].active, "only members change anything"
        told = {member.user_id: member for member in change.effect.members} if change.effect else {}
        for member in change.members:
            old = before.get(member.user_id)
            is_news = old is None or (old.role, old.muted_until_ms, old.active) != (
                member.role,
                member.muted_until_ms,
                member.active,
            )
            assert (member.user_id in told) is is_news
            assert member.version == (old.version if old else 0) + is_news


@given(st.lists(st.tuples(user, RULES), max_size=30), st.randoms(use_true_random=False))
def test_effects_in_any_order_end_at_the_same_members(attempts: list[tuple[UserId, Rule]], random: Random) -> None:
    model = Model()
    effects = [change.effect for change in (model.attempt(*attempt) for attempt in attempts) if change.effect]
    random.shuffle(effects)
    known = {user: (1, True, member.role, 0) for user, member in Model().members.items()}
    state = (1, False, False)
    for effect in effects:
        for member in effect.members:
            if member.version > known.get(member.user_id, (0,))[0]:
                known[member.user_id] = (member.version, member.active, member.role, member.muted_until_ms)
        if effect.state is not None and effect.state.version > state[0]:
            state = (effect.state.version, effect.state.mute_all, effect.state.dismissed)
    assert known == {
        member.user_id: (member.version, member.active, member.role, member.muted_until_ms)
        for member in model.members.values()
    }
    assert state == (model.group.version, model.group.mute_all, model.group.dismissed_ms > 0)
