"""The page that is kept of drills: what each came to, with a picture of its time. It needs nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape

from drills.run import Outcome
from xinyu.drill.history import Acked, Fault, History, Link, Seen

WIDTH, HEAD = 1000, 115
NAMED_ROWS, ROW, LOW_ROW = 40, 14, 5
"""Pixels of a device's row, and of one without a name where there are many."""
SLICE_SECONDS = 0.25
TICK_SECONDS = 10
STYLE = (
    "body{font:14px sans-serif;margin:2em}pre{white-space:pre-wrap}.bad{color:#b00}.good{color:#070}"
    "td,th{padding:2px 12px 2px 0;text-align:left;vertical-align:top}"
)
LEGEND = (
    "Pictures: above, messages acked (blue) and shown (grey) in each quarter of a second; red is the fault; a mark "
    f"every {TICK_SECONDS} s. Below, a line for each device, interrupted while it was not connected."
)


def as_page(title: str, outcomes: Sequence[Outcome]) -> str:
    """A page about one drill, or about several with a table of them before."""
    table = _table(outcomes) if len(outcomes) > 1 else ""
    sections = "".join(map(_section, outcomes))
    return (
        f'<!doctype html><meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
        f"<h1>{escape(title)}</h1>{table}<p>{LEGEND}</p>{sections}\n"
    )


def _table(outcomes: Sequence[Outcome]) -> str:
    rows = "".join(
        f'<tr class="{_class(each)}"><td><a href="#{escape(each.name)}">{escape(each.name)}</a><td>{_class(each)}'
        f"<td>{each.verdict.acked}<td>{each.verdict.deliveries}<td>{len(each.verdict.violations)}<td>{_recovered(each)}"
        for each in outcomes
    )
    head = "<tr><th>drill<th><th>acked<th>deliveries<th>violations<th>recovery"
    return f"<table>{head}{rows}</table>"


def _section(outcome: Outcome) -> str:
    verdict, history = outcome.verdict, outcome.history
    violations = "\n".join(
        escape(f"{each.promise} {each.kind}: {each.where} {' '.join(each.msg_ids)}") for each in verdict.violations
    )
    faults = "".join(
        f"<li>{escape(fault.name)}, {fault.ended - fault.began:.1f} s: {escape(fault.proof or 'did not fire')}; "
        f"what was acked meanwhile was shown everywhere {caught_up(history, fault):.1f} s after its end</li>"
        for fault in verdict.faults
    )
    return (
        f'<h2 id="{escape(outcome.name)}">{escape(outcome.name)}</h2>'
        f'<p class="{_class(outcome)}">{escape(outcome.line())}</p><ul>{faults}</ul>'
        f"{_picture(history)}<pre>{violations}</pre>"
    )


def _class(outcome: Outcome) -> str:
    return "good" if outcome.good else "bad"


def _recovered(outcome: Outcome) -> str:
    return ", ".join("never" if seconds is None else f"{seconds:.2f} s" for _, seconds in outcome.verdict.recoveries)


def caught_up(history: History, fault: Fault) -> float:
    """How long after the end of a fault the last of what was acked during it was shown; 0 where that was before."""
    acked = {ack.msg_id for ack in history.of(Acked) if fault.began <= ack.at <= fault.ended}
    return max([0.0, *(seen.at - fault.ended for seen in history.of(Seen) if seen.msg_id in acked)])


def _picture(history: History) -> str:
    acked, seen = [ack.at for ack in history.of(Acked)], [seen.at for seen in history.of(Seen)]
    faults = history.of(Fault)
    times = [*acked, *seen, *(fault.began for fault in faults), *(fault.ended for fault in faults)]
    if not times:
        return ""
    start, seconds = min(times), max(times) - min(times) or 1.0
    scale = WIDTH / seconds
    links: dict[str, list[Link]] = {shown.device: [] for shown in history.of(Seen)}
    for link in history.of(Link):
        links.setdefault(link.device, []).append(link)
    step = ROW if len(links) <= NAMED_ROWS else LOW_ROW
    height = HEAD + 5 + step * len(links)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH + 160}" height="{height}">']
    for fault in faults:
        left, width = (fault.began - start) * scale, max(2.0, (fault.ended - fault.began) * scale)
        parts.append(f'<rect x="{left:.1f}" width="{width:.1f}" height="{height}" fill="#fbb"/>')
    parts += [*_bars(seen, start, scale, "#bbb"), *_bars(acked, start, scale, "#36c")]
    for tick in range(0, int(seconds) + 1, TICK_SECONDS):
        parts.append(f'<path d="M{tick * scale:.1f} 100v6" stroke="#000"/>')
    for row, device in enumerate(sorted(links)):
        y = HEAD + step * row
        parts.append(f'<line x1="0" x2="{WIDTH}" y1="{y}" y2="{y}" stroke="#393" stroke-width="3"/>')
        if step == ROW:
            parts.append(f'<text x="{WIDTH + 8}" y="{y + 4}" font-size="11">{escape(device)}</text>')
        parts += _gaps(links[device], start, scale, y)
    return "".join([*parts, "</svg>"])


def _bars(times: list[float], start: float, scale: float, colour: str) -> list[str]:
    counts = Counter(int((at - start) / SLICE_SECONDS) for at in times)
    top = max(counts.values(), default=1)
    width = max(1.0, SLICE_SECONDS * scale / 2)
    shift = width if colour == "#36c" else 0.0
    return [
        f'<rect x="{slot * SLICE_SECONDS * scale + shift:.1f}" y="{100 - 95 * count / top:.1f}" '
        f'width="{width:.1f}" height="{95 * count / top:.1f}" fill="{colour}"/>'
        for slot, count in sorted(counts.items())
    ]


def _gaps(links: list[Link], start: float, scale: float, y: int) -> list[str]:
    found, down = [], None
    for link in links:
        if link.up and down is not None:
            x1, x2 = max(0.0, (down - start) * scale), min(float(WIDTH), (link.at - start) * scale)
            found.append(f'<line x1="{x1:.1f}" x2="{x2:.1f}" y1="{y}" y2="{y}" stroke="#fff" stroke-width="5"/>')
        down = None if link.up else link.at
    return found
