"""What a workload hands to the report."""

from __future__ import annotations

from dataclasses import dataclass, field

from bench.checker import Verdict


@dataclass(slots=True)
class Run:
    """One run of one case: named measures (units in the names), whether it was right, whether the generator kept up."""

    measures: dict[str, float]
    verdict: Verdict
    saturated: bool


@dataclass(slots=True)
class Case:
    """All runs of one case, e.g. W1 with k=8."""

    workload: str
    name: str
    runs: list[Run] = field(default_factory=list)

    @property
    def wrong(self) -> bool:
        """Whether any run was."""
        return any(run.verdict.wrong for run in self.runs)

    def values(self, measure: str) -> list[float]:
        """One measure over the runs."""
        return [run.measures[measure] for run in self.runs if measure in run.measures]
