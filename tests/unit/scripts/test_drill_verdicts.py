"""What a run of drills comes to: its exit code, what is printed and kept of each, the page about all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from drills import cli
from drills.report import as_page, caught_up
from drills.run import Outcome, exit_code
from drills.shapes import Shape
from local_cluster.workplace import ClusterError
from xinyu.drill.checker import check
from xinyu.drill.history import Acked, Fault, History, Link, Seen, Sent, Stored, Watch, read_lines

FAULT = Fault("kill-message", 2.0, 3.0, "message_1 (pid 7) killed, pid 8 is ready")


def outcome(name: str = "kill-message", stored: int = 2, proof: str = "fired", trouble: str = "") -> Outcome:
    """Two messages said and shown, of which so many are in the log."""
    history = History([Watch("phone", 2, "g"), Fault(name, 2.0, 3.0, proof), Link("phone", True, 0.0)])
    for seq in (1, 2):
        history.add(Sent("page", "g", f"m{seq}", float(seq)))
        history.add(Acked("page", "g", f"m{seq}", seq, seq + 0.5))
        history.add(Seen("phone", "g", seq, f"m{seq}", seq + 2.0))
        if seq <= stored:
            history.add(Stored("g", seq, f"m{seq}", 1))
    return Outcome(name, history, check(history), trouble)


GOOD, LOST = outcome(), outcome(stored=1)
UNPROVED, NOT_HELD = outcome(proof=""), outcome(trouble="ClusterError: gateway_ws_1 is not ready again")


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ([GOOD], 0),
        ([GOOD, GOOD], 0),
        ([GOOD, LOST, UNPROVED], 1),
        ([GOOD, UNPROVED], 3),
        ([NOT_HELD, GOOD], 3),
        ([outcome(stored=1, trouble="it was cut short: what is missing proves nothing")], 3),
        ([Outcome("kill-message", History([FAULT]), check(History([FAULT])))], 3),
    ],
)
def test_the_exit_code_tells_a_broken_promise_from_a_run_that_shows_nothing(outcomes: list[Outcome], code: int) -> None:
    assert exit_code(outcomes) == code


def test_the_line_says_why() -> None:
    assert GOOD.line().startswith("good kill-message: 2 acked, 2 deliveries, 1/1 faults fired")
    assert LOST.line().startswith("BAD  kill-message: ") and "G1:1" in LOST.line()
    assert "0/1 faults fired" in UNPROVED.line()
    assert "BAD  kill-message: not held: ClusterError: gateway_ws_1" in NOT_HELD.line()


def test_the_page_about_several_has_a_table_and_a_section_with_a_picture_of_each() -> None:
    page = as_page("two drills", [GOOD, outcome("cut-link", stored=1)])
    assert page.count("<svg") == page.count("<h2 ") == 2 and "<table>" in page
    assert '<a href="#cut-link">' in page and '<h2 id="cut-link">' in page
    assert "G1 lost: g seq 2 m2" in page and "shown everywhere 1.0 s after its end" in page
    alone = as_page("one", [GOOD])
    assert "<table>" not in alone and alone.count("<svg") == 1


def test_the_picture_of_many_devices_names_none_of_them() -> None:
    links = [Link(f"phone {number}", False, 1.0) for number in range(200)]
    crowd = History([*GOOD.history.records, *links])
    page = as_page("many", [Outcome("kill-message", crowd, check(crowd))])
    assert "phone 7" not in page and page.count("<line") == 201
    assert ">phone</text>" in as_page("one", [GOOD])


def test_what_was_acked_during_a_fault_is_waited_for() -> None:
    assert caught_up(GOOD.history, FAULT) == 1.0  # acked at 2.5, shown at 4
    assert caught_up(GOOD.history, Fault("x", 8.0, 9.0, "")) == 0.0


class FakeStage:
    """Counts its starts; it is whole unless the last drill was told to break it."""

    made: list[FakeStage]

    def __init__(self, *_: object) -> None:
        self.calls: list[str] = []
        self.is_whole = True
        self.made.append(self)

    def start(self, seed: str, shape: Shape) -> None:
        self.shape = shape
        self.calls.append("start")
        self.is_whole = True

    def stop(self) -> None:
        self.calls.append("stop")


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[FakeStage]]:
    FakeStage.made = []
    monkeypatch.setattr(cli, "Stage", FakeStage)
    monkeypatch.setattr(cli.signal, "signal", lambda *_: None)
    yield FakeStage.made


def holding(monkeypatch: pytest.MonkeyPatch, *outcomes: Outcome) -> list[str]:
    """Let the drills have these outcomes; the names of those that are held."""
    held, left = list[str](), list(outcomes)

    async def run_drill(stage: FakeStage, town: object, name: str, *_: object) -> Outcome:
        held.append(name)
        found = left.pop(0)
        stage.is_whole = not found.trouble
        return found._replace(name=name)

    monkeypatch.setattr(cli, "run_drill", run_drill)
    return held


def test_a_list_starts_nothing(stages: list[FakeStage], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list"]) == 0 and stages == []
    assert capsys.readouterr().out.split() == list(cli.DRILLS)


def test_all_holds_every_drill_on_a_stage_of_its_shape_and_leaves_one_page(
    stages: list[FakeStage], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held = holding(monkeypatch, *[GOOD] * len(cli.DRILLS))
    assert cli.main(["all", "--folder", str(tmp_path), "--seed", "7"]) == 0
    assert held == list(cli.DRILLS) and stages[0].calls == ["start", "stop"] * 2
    assert (tmp_path / "drills-stage4.html").read_text().count("<svg") == len(cli.DRILLS)
    assert not list(tmp_path.glob("*.jsonl"))
    out = capsys.readouterr().out
    count = len(cli.DRILLS)
    assert (
        f"{count} of {count} drills were good" in out
        and "kill-delivery needs the stage otherwise" in out
        and "seed 7" in out
    )


def test_what_goes_wrong_keeps_its_history_and_the_next_drill_gets_a_new_stage(
    stages: list[FakeStage], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "cut-link-stage4.jsonl").write_text("of an earlier run")
    holding(monkeypatch, NOT_HELD, LOST, GOOD)
    names = ["kill-gateway", "kill-message", "cut-link"]
    assert cli.main([*names, "--folder", str(tmp_path)]) == 1
    assert stages[0].calls == ["start", "stop", "start", "stop"]
    assert sorted(path.name for path in tmp_path.glob("*.jsonl")) == [f"{name}-stage4.jsonl" for name in names[:2]]
    kept = (tmp_path / "kill-message-stage4.jsonl").read_bytes().splitlines()
    assert not check(read_lines(kept)).good


def test_a_stage_that_cannot_be_had_shows_nothing(
    stages: list[FakeStage], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def start(self: FakeStage, seed: str, shape: Shape) -> None:
        raise ClusterError("no")

    monkeypatch.setattr(FakeStage, "start", start)
    assert cli.main(["kill-message", "--folder", str(tmp_path)]) == 3
    assert capsys.readouterr().err == "xinyu: no\n" and stages[0].calls == ["stop"]
