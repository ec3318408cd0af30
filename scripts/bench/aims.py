"""The aims of WORKLOADS as data: which measure of which case must be how large or small."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Aim:
    """`least` or most `value` of a measure; `stretch` is the better value worth naming."""

    workload: str
    case: str
    measure: str
    value: float
    at_least: bool
    stretch: float | None = None

    def reached(self, measured: float) -> bool:
        """Whether `measured` is good enough."""
        return measured >= self.value if self.at_least else measured <= self.value

    def stretched(self, measured: float) -> bool:
        """Whether it is even better."""
        if self.stretch is None:
            return False
        return measured >= self.stretch if self.at_least else measured <= self.stretch

    def describe(self) -> str:
        """As the table shows it."""
        sign = "≥" if self.at_least else "≤"
        more = f" (stretch {self.stretch:g})" if self.stretch is not None else ""
        return f"{sign} {self.value:g}{more}"


AIMS = (
    Aim("W1", "k=1", "ratio_to_E1", 0.11, at_least=True, stretch=0.14),
    Aim("W1", "k=8", "ratio_to_E8", 0.13, at_least=True, stretch=0.16),
    Aim("W2", "2000/s", "p50_ms", 3.0, at_least=False),
    Aim("W2", "2000/s", "p99_ms", 15.0, at_least=False),
    *(Aim("W3", f"{size} sync", "ratio_to_F", 0.6, at_least=True) for size in (200, 1000)),
    *(Aim("W3", f"{size} acks", "ratio_to_F", 0.3, at_least=True) for size in (200, 1000)),
    Aim("W3", "200 sync, 20/s", "p99_ms", 60.0, at_least=False),
    *(Aim("W3", f"stage 4 {size} sync", "ratio_to_F_per_gateway_core", 0.5, at_least=True) for size in (200, 1000)),
    *(Aim("W5", f"100 × {size}", "fetched_per_second", 50_000.0, at_least=True) for size in (100, 1000)),
    *(Aim("W5", f"stage 4 100 × {size}", "fetched_per_second", 15_000.0, at_least=True) for size in (100, 1000)),
    Aim("W6", "kill server", "acked_again_seconds", 3.0, at_least=False),
    *(
        Aim("W6", f"stage 4 kill {victim}", "acked_again_seconds", 5.0, at_least=False)
        for victim in ("message_1", "gateway_ws_1", "presence_1")
    ),
    *(
        Aim("W7", f"{target}{size} {what}", "growth", 1.5, at_least=False)
        for target in ("", "stage 4 ")
        for what, sizes in (
            ("pairs", (100, 400)),
            ("members", (200, 500, 2000)),
            ("conversations", (100, 1000)),
            ("deep", (100_000, 1_000_000)),
        )
        for size in sizes
    ),
    *(
        Aim("W4", f"{target}{size} idle", "rss_kb_per_connection", 30.0, at_least=False, stretch=24.0)
        for target in ("", "stage 4 ")
        for size in (2000, 5000, 8000)
    ),
    *(
        Aim("W4", f"{size} idle", "connects_per_second", 1000.0, at_least=True, stretch=1500.0)
        for size in (2000, 5000, 8000)
    ),
    *(Aim("W4", f"stage 4 {size} idle", "connects_per_second", 400.0, at_least=True) for size in (2000, 5000, 8000)),
    Aim("W4", "5000 idle", "idle_cpu_percent", 2.0, at_least=False),
    *(Aim("W1", f"stage 4 k={k}", "cpu_ratio_to_monolith", 3.5, at_least=False, stretch=2.5) for k in (1, 8)),
    Aim("W2", "stage 4 1000/s", "p50_ms", 8.0, at_least=False),
    Aim("W2", "stage 4 1000/s", "p99_ms", 80.0, at_least=False),
)


def aim_for(workload: str, case: str, measure: str) -> Aim | None:
    """The aim of one measure, if it has one."""
    return next((aim for aim in AIMS if (aim.workload, aim.case, aim.measure) == (workload, case, measure)), None)
