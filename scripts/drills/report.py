"""What is kept of a drill: a page with a picture of its time, and its history where a promise was broken."""

from __future__ import annotations

from collections import Counter
from html import escape

from xinyu.drill.checker import Verdict
from xinyu.drill.history import Acked, Fault, History, Link, Seen

WIDTH, ROW = 1000, 14
SLICE_SECONDS = 0.25
STYLE = "body{font:14px sans-serif;margin:2em}pre{white-space:pre-wrap}.bad{color:#b00}.good{color:#070}"


def as_page(title: str, history: History, verdict: Verdict) -> str:
    """A page that needs nothing else."""
    violations = "\n".join(
        escape(f"{each.promise} {each.kind}: {each.where} {' '.join(each.msg_ids)}") for each in verdict.violations
    )
    faults = "".join(
        f"<li>{escape(fault.name)}, {fault.ended - fault.began:.1f} s: {escape(fault.proof or 'did not fire')}</li>"
        for fault in verdict.faults
    )
    state = "good" if verdict.good else "bad"
    return (
        f'<!doctype html><meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
        f'<h1>{escape(title)}</h1><p class="{state}">{escape(verdict.line())}</p><ul>{faults}</ul>'
        "<p>Above: messages acked (blue) and shown (grey) in each quarter of a second; red is the fault. Below: a line "
        f"for each device, interrupted while it was not connected.</p>{_picture(history)}<pre>{violations}</pre>\n"
    )


def _picture(history: History) -> str:
    acked, seen = [ack.at for ack in history.of(Acked)], [seen.at for seen in history.of(Seen)]
    faults = history.of(Fault)
    times = [*acked, *seen, *(fault.began for fault in faults), *(fault.ended for fault in faults)]
    if not times:
        return ""
    start, scale = min(times), WIDTH / (max(times) - min(times) or 1.0)
    devices = sorted({link.device for link in history.of(Link)} | {shown.device for shown in history.of(Seen)})
    height = 120 + ROW * len(devices)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH + 160}" height="{height}">']
    for fault in faults:
        left, width = (fault.began - start) * scale, max(2.0, (fault.ended - fault.began) * scale)
        parts.append(f'<rect x="{left:.1f}" width="{width:.1f}" height="{height}" fill="#fbb"/>')
    parts += [*_bars(seen, start, scale, "#bbb"), *_bars(acked, start, scale, "#36c")]
    for row, device in enumerate(devices):
        y = 115 + ROW * row
        parts.append(f'<line x1="0" x2="{WIDTH}" y1="{y}" y2="{y}" stroke="#393" stroke-width="3"/>')
        parts.append(f'<text x="{WIDTH + 8}" y="{y + 4}" font-size="11">{escape(device)}</text>')
        parts += _gaps(history, device, start, scale, y)
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


def _gaps(history: History, device: str, start: float, scale: float, y: int) -> list[str]:
    found, down = [], None
    for link in history.of(Link):
        if link.device != device:
            continue
        if link.up and down is not None:
            x1, x2 = max(0.0, (down - start) * scale), min(float(WIDTH), (link.at - start) * scale)
            found.append(f'<line x1="{x1:.1f}" x2="{x2:.1f}" y1="{y}" y2="{y}" stroke="#fff" stroke-width="5"/>')
        down = None if link.up else link.at
    return found
