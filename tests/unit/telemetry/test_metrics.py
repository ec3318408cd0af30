"""What a scrape is given."""

from __future__ import annotations

from xinyu.telemetry.metrics import Metrics
from xinyu.telemetry.readings import Histogram, Reading


def rendered(*readings: Reading) -> list[str]:
    metrics = Metrics()
    metrics.add_source(lambda: readings)
    return [line for line in metrics.render().decode().splitlines() if not line.startswith("#")]


def test_a_reading_is_a_counter_by_its_name_else_a_gauge() -> None:
    metrics = Metrics()
    metrics.add_source(lambda: [("xinyu_a_total", "A.", 3), ("xinyu_b", "B.", 1.5)])
    text = metrics.render().decode()
    assert "# TYPE xinyu_a_total counter\nxinyu_a_total 3.0" in text
    assert "# HELP xinyu_b B.\n# TYPE xinyu_b gauge\nxinyu_b 1.5" in text


def test_a_histogram_counts_what_is_at_most_each_bound() -> None:
    sizes = Histogram((1, 8))
    for size in (1, 2, 8, 9):
        sizes.observe(size)
    assert rendered(("xinyu_size", "Sizes.", sizes)) == [
        'xinyu_size_bucket{le="1"} 1.0',
        'xinyu_size_bucket{le="8"} 3.0',
        'xinyu_size_bucket{le="+Inf"} 4.0',
        "xinyu_size_count 4.0",
        "xinyu_size_sum 20.0",
    ]


def test_calls_have_a_histogram_for_each_pair_of_labels() -> None:
    metrics = Metrics()
    metrics.calls.observe("A.b", "ok", 0.002)
    metrics.calls.observe("A.b", "ok", 7.0)
    metrics.calls.observe("A.b", "x.bad", 0.002)
    text = metrics.render().decode()
    assert 'xinyu_rpc_call_seconds_bucket{le="0.0025",method="A.b",outcome="ok"} 1.0' in text
    assert 'xinyu_rpc_call_seconds_count{method="A.b",outcome="ok"} 2.0' in text
    assert 'xinyu_rpc_call_seconds_sum{method="A.b",outcome="ok"} 7.002' in text
    assert 'xinyu_rpc_call_seconds_count{method="A.b",outcome="x.bad"} 1.0' in text


def test_what_several_roles_name_is_served_once() -> None:
    class Shared:
        def readings(self) -> list[Reading]:
            return [("xinyu_shared", "Shared.", 1)]

    metrics, shared = Metrics(), Shared()
    metrics.add_source(shared.readings)
    metrics.add_source(shared.readings)
    assert metrics.render().decode().count("\nxinyu_shared 1.0") == 1
