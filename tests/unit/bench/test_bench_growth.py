"""W7: the deep log that is written into the file, and the picture."""

import sqlite3
from contextlib import closing
from pathlib import Path

from PIL import Image
from sqlalchemy import create_engine

from bench.checker import Verdict
from bench.plots import HEIGHT, WIDTH, plot_growth
from bench.result import Case, Run
from bench.seeding import ADDED, deepen_sqlite
from xinyu.message.store_sql.tables import METADATA


def test_a_log_is_deepened_by_copies_of_its_newest_entry(tmp_path: Path) -> None:
    file = tmp_path / "xinyu.db"
    engine = create_engine(f"sqlite:///{file}")
    METADATA.create_all(engine)
    engine.dispose()
    with closing(sqlite3.connect(file)) as database, database:
        database.execute(
            "INSERT INTO message_conversation (id, kind, party_a, party_b, last_seq, last_ordinal, last_ordinal_a,"
            " preview_seq, last_at_ms, members_version, state_version, mute_all, dismissed)"
            " VALUES (7, 1, 1, 2, 3, 2, 1, 3, 9, 1, 0, 0, 0)"
        )
        database.execute("INSERT INTO message_entry VALUES (7, 3, 'm', 1, 1, 2, 1, 9, 0, '{}', '')")
    deepen_sqlite(file, 7, 3)
    with closing(sqlite3.connect(file)) as database:
        head = database.execute("SELECT last_seq, last_ordinal, last_ordinal_a, preview_seq FROM message_conversation")
        assert head.fetchall() == [(3 + ADDED, 2 + ADDED, 1 + ADDED, 3 + ADDED)]
        log = database.execute(
            "SELECT count(*), min(seq), max(seq), max(ordinal), max(ordinal_a), min(content) FROM message_entry"
        )
        assert log.fetchall() == [(1 + ADDED, 3, 3 + ADDED, 2 + ADDED, 1 + ADDED, "{}")]


def growth(name: str, value: float) -> Case:
    return Case("W7", name, [Run({"growth": value}, Verdict(), False)])


def test_each_series_has_a_panel(tmp_path: Path) -> None:
    cases = [growth(f"{target}{size} {what}", 1.0) for target in ("", "stage 4 ") for what in ("pairs", "members")
             for size in (10, 100, 1000)]  # fmt: skip
    assert plot_growth(tmp_path / "growth.png", cases)
    with Image.open(tmp_path / "growth.png") as picture:
        assert (picture.format, picture.size) == ("PNG", (4 * WIDTH, HEIGHT))


def test_without_growth_there_is_no_picture(tmp_path: Path) -> None:
    wrong = Case("W7", "20 pairs", [Run({"growth": 1.0}, Verdict(violations={"lost": 1}), False)])
    cases = [growth("10 pairs", 1.0), wrong, growth("10 members", float("nan")), Case("W1", "k=1")]
    assert not plot_growth(tmp_path / "growth.png", cases)
    assert not (tmp_path / "growth.png").exists()
