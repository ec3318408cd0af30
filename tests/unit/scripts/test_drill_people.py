"""Who talks with whom in a drill."""

from __future__ import annotations

from drills.people import conversations_of
from drills.town import Account, Household
from xinyu.sdk import Talk

OWNER, ANNA, BEN = 7, 8, 9
HOUSEHOLD = Household(44, [Account("", uid) for uid in (OWNER, ANNA, BEN)])


def test_all_share_a_group_and_its_owner_talks_with_each_alone() -> None:
    group, *pairs = conversations_of(HOUSEHOLD)
    assert group.talks == dict.fromkeys((OWNER, ANNA, BEN), Talk.group(44))
    assert [pair.talks for pair in pairs] == [{OWNER: Talk.user(peer), peer: Talk.user(OWNER)} for peer in (ANNA, BEN)]
    assert len({group.name, *(pair.name for pair in pairs)}) == 3
