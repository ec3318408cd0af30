"""The table for the eye and the JSON for the record."""

from __future__ import annotations

import importlib.metadata
import json
import math
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.aims import aim_for
from bench.result import Case
from bench.stats import spread

_PACKAGES = ("xinyu", "uvicorn", "uvloop", "websockets", "msgspec", "starlette", "SQLAlchemy")
_HIDDEN = ("server_share", "client_share", "opening_client_share", "max_ms")


def print_report(console: Console, cases: Sequence[Case], calibrations: Mapping[str, list[dict[str, float]]]) -> None:
    """One row per measure with its aim, then the runs that are no results."""
    table = Table(title="median (range over runs)", title_justify="left")
    for heading in ("case", "measure", "median", "range", "aim", ""):
        table.add_column(heading, justify="right" if heading in ("median", "range") else "left")
    for name, results in calibrations.items():
        for measure in ("frames_per_second", "idle_cpu_percent", "rss_kb_per_connection"):
            if measure in results[0]:
                _row(table, name, measure, [result[measure] for result in results], "", "")
    for case in cases:
        table.add_section()
        for measure in _measures(case):
            _case_row(table, case, measure)
    console.print(table)
    for case in cases:
        for number, run in enumerate(case.runs, start=1):
            if run.verdict.wrong:
                console.print(f"[bold red]WRONG[/] {case.workload} {case.name} run {number}: {run.verdict.describe()}")
            if run.verdict.refused:
                console.print(f"{case.workload} {case.name} run {number}: {run.verdict.refused} sends were refused")
            if run.saturated:
                console.print(f"[yellow]{case.workload} {case.name} run {number}: the generator was saturated[/]")


def _measures(case: Case) -> list[str]:
    names = dict.fromkeys(name for run in case.runs for name in run.measures)
    return [name for name in names if name not in _HIDDEN]


def _case_row(table: Table, case: Case, measure: str) -> None:
    values = [value for value in case.values(measure) if not math.isnan(value)]
    aim = aim_for(case.workload, case.name, measure)
    verdict = ""
    if case.wrong:
        verdict = "[bold red]WRONG[/]"
    elif aim is not None and values:
        median = spread(values).median
        verdict = "[red]not reached[/]"
        if aim.reached(median):
            verdict = "[green]reached, stretch too[/]" if aim.stretched(median) else "[green]reached[/]"
    _row(table, f"{case.workload} {case.name}", measure, values, aim.describe() if aim else "", verdict)


def _row(table: Table, case: str, measure: str, values: Sequence[float], aim: str, verdict: str) -> None:
    if not values:
        table.add_row(case, measure, "-", "-", aim, "")
        return
    over = spread(values)
    width = f"{_number(over.low)} … {_number(over.high)}" if len(values) > 1 else ""
    table.add_row(case, measure, _number(over.median), width, aim, verdict)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def write_json(path: Path, cases: Sequence[Case], context: Mapping[str, Any]) -> None:
    """Everything measured, with what matters about the machine; no names and no paths."""
    record = {
        "machine": machine_facts(),
        **context,
        "cases": [
            {
                "workload": case.workload,
                "case": case.name,
                "runs": [
                    {
                        "measures": {key: None if math.isnan(value) else value for key, value in run.measures.items()},
                        "saturated": run.saturated,
                        "wrong": run.verdict.wrong,
                        "acked": run.verdict.acked,
                        "delivered": run.verdict.delivered,
                        "refused": run.verdict.refused,
                        "violations": run.verdict.violations,
                    }
                    for run in case.runs
                ],
            }
            for case in cases
        ],
    }
    path.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def machine_facts() -> dict[str, Any]:
    """Cores, interpreter, system and the versions that matter."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "absent"
    return {
        "cores": os.cpu_count(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.machine()}",
        "versions": versions,
    }
