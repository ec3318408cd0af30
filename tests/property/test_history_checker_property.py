"""The history checker on generated runs: right ones pass; one entry lost, doubled or swapped anywhere is noticed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from xinyu.drill.checker import check
from xinyu.drill.history import Acked, AnyRecord, History, Seen, Sent, Stored, Watch

DEVICES = ("a", "b", "c")
runs = st.lists(st.sampled_from(DEVICES), min_size=3, max_size=20)
"""Who says each message."""


def told(senders: list[str]) -> History:
    """A run in which everybody sees everything at once."""
    history = History(Watch(device, uid, "g") for uid, device in enumerate(DEVICES, 1))
    for seq, sender in enumerate(senders, 1):
        history.add(Sent(sender, "g", f"m{seq}", float(seq)))
        history.add(Acked(sender, "g", f"m{seq}", seq, seq + 0.1))
        history.add(Stored("g", seq, f"m{seq}", DEVICES.index(sender) + 1))
        for device in DEVICES:
            history.add(Seen(device, "g", seq, f"m{seq}", seq + 0.2))
    return history


@given(runs)
def test_right_runs_pass(senders: list[str]) -> None:
    verdict = check(told(senders))
    assert verdict.good and verdict.acked == len(senders)


@given(runs, st.data())
def test_whatever_a_receiver_misses_is_noticed(senders: list[str], data: st.DataObject) -> None:
    records = told(senders).records
    strange = [r for r in records if isinstance(r, Seen) and senders[r.seq - 1] != r.device]
    missed = data.draw(st.sampled_from(strange))
    verdict = check(History(record for record in records if record is not missed))
    assert missed.msg_id in {msg_id for violation in verdict.violations for msg_id in violation.msg_ids}


@given(runs, st.data())
def test_a_doubled_or_swapped_entry_is_noticed(senders: list[str], data: st.DataObject) -> None:
    records = list(told(senders).records)
    device = data.draw(st.sampled_from(DEVICES))
    places = [at for at, record in enumerate(records) if isinstance(record, Seen) and record.device == device]
    at = data.draw(st.integers(0, len(places) - 2))
    doubled: list[AnyRecord] = [*records, records[places[at]]]
    assert "duplicated" in {violation.kind for violation in check(History(doubled)).violations}
    records[places[at]], records[places[at + 1]] = records[places[at + 1]], records[places[at]]
    assert "reordered" in {violation.kind for violation in check(History(records)).violations}
