"""A log that is read by pages is read to its end, each line once and whole."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from batchq.app.tail import page_of_lines

TEXTS = st.lists(st.text("ab é", max_size=6), max_size=12).map("\n".join)


@settings(max_examples=60, deadline=None)
@given(TEXTS, st.integers(16, 40))
def test_pages_one_after_the_other_are_the_whole_log(text: str, most: int) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "log")
        path.write_text(text)
        found, after = [], 0
        while True:
            page = page_of_lines(path, most, after=after)
            found += page.lines
            if not page.lines or not page.is_whole:
                break
            assert page.next > after
            after = page.next
        assert "".join(found) == text
        with path.open("a") as file:
            file.write("x\nlast\n")
        assert page_of_lines(path, 100, after=page.next).lines == [text.rpartition("\n")[2] + "x\n", "last\n"]


def test_line_longer_than_a_page_comes_in_parts(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("x" * 25 + "\ny\n")
    first = page_of_lines(tmp_path / "log", 10, after=0)
    assert (first.lines, first.next) == (["x" * 10], 10)
    assert page_of_lines(tmp_path / "none", 10, last=3).lines == []
