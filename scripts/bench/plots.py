"""W7 as a picture: what a unit costs at each size, against the smallest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from bench.result import Case
from bench.stats import spread

WIDTH, HEIGHT, MARGIN = 420, 300, 50
FLAT = 1.5
"""The aim of WORKLOADS."""
_INK, _GREY, _AIM, _LINE = "#222222", "#bbbbbb", "#c0392b", "#2471a3"


def plot_growth(path: Path, cases: Sequence[Case]) -> bool:
    """One panel for each series, below one another by target. False, and no file, where there is nothing to show."""
    series = _series(cases)
    if not series:
        return False
    columns = min(4, len(series))
    rows = math.ceil(len(series) / columns)
    picture = Image.new("RGB", (columns * WIDTH, rows * HEIGHT), "white")
    draw = ImageDraw.Draw(picture)
    for number, (name, points) in enumerate(series.items()):
        _panel(draw, (number % columns * WIDTH, number // columns * HEIGHT), name, points)
    picture.save(path, "PNG")
    return True


def _series(cases: Sequence[Case]) -> dict[str, list[tuple[int, float]]]:
    """Its name → (size, growth)…, of those with more than one size."""
    found: dict[str, list[tuple[int, float]]] = {}
    for case in cases:
        values = [value for value in case.values("growth") if not math.isnan(value)]
        if case.workload == "W7" and values and not case.wrong:
            *target, size, what = case.name.rsplit(" ", 2)
            found.setdefault(" ".join([what, *target]), []).append((int(size), spread(values).median))
    return {name: points for name, points in found.items() if len(points) > 1}


def _panel(draw: ImageDraw.ImageDraw, corner: tuple[int, int], name: str, points: list[tuple[int, float]]) -> None:
    left, top = corner[0] + MARGIN, corner[1] + MARGIN
    right, bottom = corner[0] + WIDTH - 45, corner[1] + HEIGHT - MARGIN
    highest = max(2.0, *(1.1 * growth for _, growth in points))
    first, last = (math.log10(points[end][0]) for end in (0, -1))

    def place(size: float, growth: float) -> tuple[float, float]:
        across = (math.log10(size) - first) / (last - first)
        return left + across * (right - left), bottom - growth / highest * (bottom - top)

    font = ImageFont.load_default()
    draw.text((left, corner[1] + 15), f"{name}: cost per unit, smallest = 1", fill=_INK, font=font)
    draw.rectangle((left, top, right, bottom), outline=_GREY)
    for growth, colour in ((1.0, _GREY), (FLAT, _AIM)):
        height = place(points[0][0], growth)[1]
        draw.line((left, height, right, height), fill=colour)
        draw.text((corner[0] + 18, height - 6), f"{growth:g}", fill=colour, font=font)
    draw.line([place(*point) for point in points], fill=_LINE, width=2)
    for size, growth in points:
        x, y = place(size, growth)
        draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=_LINE)
        draw.text((x - 8, y - 16), f"{growth:.2f}", fill=_INK, font=font)
        draw.text((x - 12, bottom + 6), f"{size:,}", fill=_INK, font=font)
