"""Choosing an instance: shares within bounds, the zone first while it keeps up, few keys move."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from testkit.registries import instance
from xinyu.discovery.balancing import ZONE_HEAD_START, HashRing, LeastInFlight
from xinyu.discovery.types import Instance, State

KEYS = [f"c{number}" for number in range(2000)]
WEIGHTS = st.lists(st.integers(1, 400), min_size=1, max_size=6)
NAMES = st.sets(st.integers(0, 40).map(lambda n: f"n{n}"), min_size=1, max_size=12)
FLEETS = st.lists(
    st.builds(
        lambda n, state, weight, zone: instance(f"n{n}", 1, state=state, weight=weight, zone=zone),
        st.integers(0, 5),
        st.sampled_from(State),
        st.integers(0, 300),
        st.sampled_from(["", "a", "b"]),
    ),
    max_size=6,
    unique_by=lambda i: i.node,
)


def of(weights: list[int], zone: str = "") -> list[Instance]:
    return [instance(f"{zone}n{n}", weight=weight, zone=zone) for n, weight in enumerate(weights)]


def balancer(instances: list[Instance], zone: str = "") -> LeastInFlight:
    made = LeastInFlight(zone)
    made.update(instances)
    return made


def call(chooser: LeastInFlight) -> Instance:
    picked = chooser.pick()
    assert picked is not None
    chooser.began(picked)
    return picked


@given(WEIGHTS, st.integers(1, 400))
def test_calls_in_flight_follow_the_weights(weights: list[int], count: int) -> None:
    instances = of(weights)
    chooser = balancer(instances)
    for _ in range(count):
        call(chooser)
    loads = [chooser.in_flight(i) / i.weight for i in instances]
    assert sum(chooser.in_flight(i) for i in instances) == count
    assert all(load - 1 / i.weight <= min(loads) + 1e-9 for load, i in zip(loads, instances, strict=True))


@given(WEIGHTS)
def test_calls_one_at_a_time_follow_the_weights_too(weights: list[int]) -> None:
    instances, count = of(weights), 1000
    chooser = balancer(instances)
    had: Counter[str] = Counter()
    for _ in range(count):
        picked = call(chooser)
        chooser.ended(picked)
        had[picked.node] += 1
    for i in instances:
        assert abs(had[i.node] - count * i.weight / sum(weights)) <= len(instances)


@given(st.lists(st.tuples(FLEETS, st.integers(0, 20), st.integers(0, 20)), max_size=8), st.sampled_from(["", "a"]))
def test_only_ready_instances_with_weight_are_called_whatever_changes(
    steps: list[tuple[list[Instance], int, int]], zone: str
) -> None:
    chooser, calling = LeastInFlight(zone), []
    for fleet, begin, end in steps:
        chooser.update(fleet)
        able = {i.node for i in fleet if i.state is State.READY and i.weight}
        for _ in range(begin):
            picked = chooser.pick()
            assert (picked is None) == (not able)
            if picked is not None:
                assert picked.node in able and picked in fleet
                chooser.began(picked)
                calling.append(picked)
        for picked in calling[:end]:
            chooser.ended(picked)
        del calling[:end]
        assert all(chooser.in_flight(i) <= sum(c.node == i.node for c in calling) for i in fleet)


def test_the_own_zone_comes_first_while_it_keeps_up() -> None:
    near, far = instance("near", zone="east"), instance("far", zone="west")
    chooser = balancer([near, far], "east")
    picked = [call(chooser).node for _ in range(ZONE_HEAD_START + 20)]
    assert picked[:ZONE_HEAD_START] == ["near"] * ZONE_HEAD_START
    assert picked.count("far") == 10, "beyond the head start both get the same"
    chooser.update([near.in_state(State.DRAINING), far])
    assert chooser.pick() == far
    assert [call(balancer([near, far])).node for _ in range(2)], "without a zone of one's own none is nearer"


def test_a_retry_goes_elsewhere() -> None:
    chooser, ring = balancer(of([100, 100, 100])), HashRing(of([100, 100, 100]))
    first = ring.pick("c1")
    assert first is not None
    second = ring.pick("c1", {first.node})
    assert second is not None and second.node != first.node
    everybody = {"n0", "n1", "n2"}
    assert chooser.pick({"n0", "n2"}) == instance("n1")
    assert chooser.pick(everybody) is None is ring.pick("c1", everybody)
    assert HashRing().pick("c1") is None is LeastInFlight().pick()


def test_a_newcomer_is_not_flooded_and_a_reborn_node_starts_at_none() -> None:
    old = instance("old")
    chooser = balancer([old])
    for _ in range(1000):
        chooser.ended(call(chooser))
    chooser.update([old, instance("new")])
    had: Counter[str] = Counter()
    for _ in range(10):
        picked = call(chooser)
        chooser.ended(picked)
        had[picked.node] += 1
    assert had == {"old": 5, "new": 5}
    chooser.began(old)
    reborn = instance("old", 2)
    chooser.update([reborn])
    chooser.ended(old)
    assert chooser.in_flight(reborn) == 0 == chooser.in_flight(old)


def owners(instances: list[Instance]) -> dict[str, str]:
    ring = HashRing(instances)
    picked = {key: ring.pick(key) for key in KEYS}
    return {key: i.node for key, i in picked.items() if i is not None}


@settings(max_examples=25, deadline=None)
@given(NAMES, st.data())
def test_who_leaves_moves_only_his_keys_and_who_joins_takes_about_his_share(
    names: set[str], data: st.DataObject
) -> None:
    fleet = [instance(name) for name in sorted(names)]
    joins = data.draw(st.sampled_from([f"n{n}" for n in range(50) if f"n{n}" not in names]))
    how = data.draw(st.sampled_from(["gone", "starting", "draining", "weightless"]))
    before, after = owners(fleet), owners([*fleet, instance(joins)])
    moved = {key for key in KEYS if before[key] != after[key]}
    assert {after[key] for key in moved} <= {joins}
    share = len(KEYS) / (len(fleet) + 1)
    assert 0.6 * share <= len(moved) <= 1.5 * share
    absent = {
        "gone": [],
        "starting": [instance(joins, state=State.STARTING)],
        "draining": [instance(joins, state=State.DRAINING)],
        "weightless": [instance(joins, weight=0)],
    }
    assert owners([*fleet, *absent[how]]) == before


@settings(max_examples=25, deadline=None)
@given(NAMES)
def test_every_one_has_about_his_share_of_the_keys(names: set[str]) -> None:
    had = Counter(owners([instance(name) for name in names]).values())
    due = len(KEYS) / len(names)
    assert all(0.6 * due <= had[name] <= 1.5 * due for name in names)


def test_keys_stay_where_they_are_over_a_restart_and_follow_the_weights() -> None:
    fleet = [instance(f"n{n}", 1, port=9000 + n) for n in range(4)]
    assert owners(fleet) == owners([instance(f"n{n}", 2, port=9999) for n in reversed(range(4))])
    had = Counter(owners([instance("light", weight=50), instance("heavy", weight=150)]).values())
    assert 2.2 < had["heavy"] / had["light"] < 4
