"""Uploaded files from folder to folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from xinyu.app.moving import files
from xinyu.app.moving.errors import MoveError
from xinyu.app.moving.files import copy_file, list_files, list_missing

NAME = "sha256/ab/cd/abcd"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    for name, content in ((NAME, b"picture"), ("parts/12/1234", b"part"), ("staging/5", b"received")):
        path = folder / name
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    return folder


def test_all_files_but_those_being_received_are_found(source: Path, tmp_path: Path) -> None:
    assert [(file.name, file.size) for file in list_files(source)] == [("parts/12/1234", 4), (NAME, 7)]
    assert list_files(tmp_path / "nowhere") == []


def test_a_copy_is_for_its_owner_alone_and_leaves_nothing_else(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "a" / "target"
    assert copy_file(source, target, NAME)
    path = target / NAME
    assert path.read_bytes() == b"picture" and path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [found.name for found in path.parent.iterdir()] == [path.name]
    assert (source / NAME).read_bytes() == b"picture"


def test_what_is_there_already_stays(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    assert list_missing(list_files(source), target) == list_files(source)
    copy_file(source, target, NAME)
    before = (target / NAME).stat()
    assert not copy_file(source, target, NAME)
    assert (target / NAME).stat().st_ino == before.st_ino
    assert [file.name for file in list_missing(list_files(source), target)] == ["parts/12/1234"]


@pytest.mark.parametrize("content", [b"pictur", b"PICTURE"])
def test_another_content_under_the_name_is_refused_and_stays(source: Path, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "target" / NAME
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(MoveError, match="is there with another content"):
        copy_file(source, tmp_path / "target", NAME)
    assert path.read_bytes() == content


def test_what_reads_back_otherwise_is_not_kept(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_digest", lambda _: b"another")
    with pytest.raises(MoveError, match="reads back otherwise"):
        copy_file(source, tmp_path / "target", NAME)
    assert list_files(tmp_path / "target") == [] and list((tmp_path / "target" / NAME).parent.iterdir()) == []


def test_the_draft_of_a_crash_is_no_file_and_is_no_obstacle(source: Path, tmp_path: Path) -> None:
    draft = tmp_path / "target" / f"{NAME}{files.DRAFT_SUFFIX}"
    draft.parent.mkdir(parents=True)
    draft.write_bytes(b"pict")
    assert list_files(tmp_path / "target") == []
    assert copy_file(source, tmp_path / "target", NAME)
    assert not draft.exists()


def test_a_full_disk_is_one_line(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MoveError, match=r"media: .*No space left"):
        copy_file(source, tmp_path / "target", NAME)
    assert list_files(tmp_path / "target") == []
