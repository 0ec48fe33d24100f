"""A file is replaced as a whole or stays as it was."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from batchq.app.atomic import replaced
from batchq.errors import OutputFailed, UsageError


def test_file_is_replaced_at_the_end_and_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"old")
    path.chmod(0o640)
    with replaced(path) as stream:
        stream.write(b"new")
        stream.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new" and stat.S_IMODE(path.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_whatever_ends_the_writing_leaves_the_former_file_and_nothing_else(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"old")
    with pytest.raises(error):
        with replaced(path) as stream:
            stream.write(b"half")
            raise error
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["out"]


def test_disk_that_is_full_is_named_with_the_file(tmp_path: Path) -> None:
    with pytest.raises(OutputFailed, match="titles: No space left"), replaced(tmp_path / "titles"):
        raise OSError(28, "No space left on device")
    assert os.listdir(tmp_path) == []


def test_new_file_has_the_usual_mode_and_a_link_stays_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    link.symlink_to(target)
    before = os.umask(0o027)
    try:
        with replaced(link) as stream:
            stream.write(b"x")
    finally:
        os.umask(before)
    assert link.is_symlink() and target.read_bytes() == b"x"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_pipe_is_written_as_it_is(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    with replaced(pipe) as stream:
        stream.write(b"through")
    reader.join(60)
    assert got == [b"through"] and pipe.is_fifo()


def test_place_that_cannot_be_written_is_named_with_the_reason(tmp_path: Path) -> None:
    for path, reason in [(tmp_path / "no" / "out", "folder does not exist"), (tmp_path, "is a folder")]:
        with pytest.raises(UsageError, match=reason) as error:
            with replaced(path):
                raise AssertionError("must not get here")
        assert str(path) in str(error.value) and error.value.hint
