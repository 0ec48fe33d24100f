"""Compressed files and other encodings: the same records, and words where a file is cut off or damaged."""

from __future__ import annotations

import bz2
import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard
from fuzz_inputs import Read, read_all, trial
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchq.errors import InputError
from batchq.inputs import describe
from batchq.inputs.encoding import Recoded
from batchq.inputs.reader import BLOCK
from batchq.model import Position

Pack = Callable[[bytes], bytes]
PACKERS: dict[str, Pack] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "zst": lambda content: zstandard.ZstdCompressor().compress(content),
}
LINES = "".join(json.dumps({"id": f"i{n}", "text": "é" * (n % 30)}) + "\n" for n in range(6_000)).encode()
"""More than a block of a reader, and several of a compressor."""


def file(folder: Path, name: str, content: bytes) -> str:
    path = folder / name
    path.write_bytes(content)
    return str(path)


def payloads(records: Read) -> list[str]:
    assert [record.error for record in records if record.error] == []
    return [record.payload for record in records]


@pytest.mark.parametrize("kind", PACKERS)
@pytest.mark.parametrize(
    "name, content",
    [("a.jsonl", b'{"v": "1"}\n{"v": "2"}\n'), ("a.json", b'[{"v": "1"}, {"v": "2"}]'), ("a.csv", b"v\n1\n2\n")],
)
def test_each_text_format_is_read_compressed(tmp_path: Path, kind: str, name: str, content: bytes) -> None:
    packed = read_all(describe(file(tmp_path, f"{name}.{kind}", PACKERS[kind](content))))
    assert [json.loads(payload) for payload in payloads(packed)] == [{"v": "1"}, {"v": "2"}]


@pytest.mark.parametrize("kind", PACKERS)
def test_large_file_of_several_members_is_read_on_anywhere(tmp_path: Path, kind: str) -> None:
    assert len(LINES) > 2 * BLOCK
    half = LINES.index(b"\n", len(LINES) // 2) + 1
    packed = PACKERS[kind](LINES[:half]) + PACKERS[kind](LINES[half:])
    source = describe(file(tmp_path, f"a.jsonl.{kind}", packed))
    whole = read_all(source)
    assert payloads(whole) == LINES.decode().splitlines()
    last = whole[4_499]
    rest = read_all(source, Position(last.position, last.next_line, 4_500), whole.digests[4_499])
    assert list(rest) == whole[4_500:]


@pytest.mark.parametrize("kind", PACKERS)
def test_file_that_is_cut_off_gives_all_that_comes_before_and_names_the_place(tmp_path: Path, kind: str) -> None:
    packed = PACKERS[kind](LINES)
    source = describe(file(tmp_path, f"a.jsonl.{kind}", packed[:-10]))
    found = read_all(source)
    assert payloads(found) == LINES.decode().splitlines()[: len(found)]
    assert found.broke is not None and f"a.jsonl.{kind}: is cut off at byte " in str(found.broke)
    assert "--input-ended" in found.broke.hint
    if kind == "gz":  # the others check blocks of nearly a megabyte
        assert len(found) > 5_500


def test_damage_costs_nothing_that_comes_before_it(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(LINES))
    packed[-6] ^= 1  # in the checksum behind all content
    found = read_all(describe(file(tmp_path, "a.jsonl.gz", bytes(packed))))
    assert len(found) == 6_000
    assert f"is damaged (Error -3 while decompressing data: incorrect data check) at byte {len(LINES):,}" in str(
        found.broke
    )


@pytest.mark.parametrize("kind", PACKERS)
@pytest.mark.parametrize("content", [b"", b'{"v": 1}\n'])
def test_file_that_is_not_compressed_at_all_is_refused(tmp_path: Path, kind: str, content: bytes) -> None:
    with pytest.raises(InputError, match=f"or no {kind} file"):
        read_all(describe(file(tmp_path, f"a.jsonl.{kind}", content)))


@pytest.mark.parametrize("kind", ["gz", "zst"])
def test_compressed_file_without_the_ending_is_told_from_text(tmp_path: Path, kind: str) -> None:
    with pytest.raises(InputError, match="is compressed") as error:
        read_all(describe(file(tmp_path, "a.jsonl", PACKERS[kind](b"1\n"))))
    assert f".{kind}" in error.value.hint


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "utf-16-be", "utf-32", "utf-8-sig", "utf-7"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.txt"])
def test_other_encodings_are_read_by_their_name(tmp_path: Path, name: str, encoding: str) -> None:
    text = {"a.jsonl": '{"v": "é"}\n', "a.json": '[{"v": "é"}]', "a.csv": "v\né\n", "a.txt": "é\n"}[name]
    source = replace(describe(file(tmp_path, name, text.encode(encoding))), encoding=encoding)
    [payload] = payloads(read_all(source))
    assert json.loads(payload) in ({"v": "é"}, "é")


def test_byte_that_an_encoding_does_not_know_fails_its_record_and_is_named(tmp_path: Path) -> None:
    content = "日本\n".encode("shift_jis") + b"\x81\xff\n" + "語\n".encode("shift_jis")
    found = read_all(replace(describe(file(tmp_path, "a.txt", content)), encoding="shift_jis"))
    assert [record.error is None for record in found] == [True, False, True]
    assert "line 2, column 1: not shift_jis: byte 0x81 at offset 5 of the input (--encoding" in str(found[1].error)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    st.sampled_from(["shift_jis", "utf-16-le", "cp1252", "gb18030", "iso2022_jp", "utf-7", "big5", "euc_kr"]),
    st.binary(max_size=60),
    st.integers(1, 9),
)
def test_any_bytes_in_any_encoding_give_text_with_marks_however_they_are_read(
    encoding: str, content: bytes, size: int
) -> None:
    def read(each: int) -> bytes:
        stream = Recoded(Bytes(content), "a", encoding)
        return b"".join(iter(lambda: stream.read(each), b""))

    found = read(size)
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        assert b"\xff<" in found
    else:
        if not any("\ud800" <= character <= "\udfff" for character in text):
            assert found == text.encode()
    if encoding != "utf-7":  # which takes a cut of its own for the end of a run
        assert read(1000) == found


class Bytes:
    """A stream of few bytes."""

    def __init__(self, content: bytes) -> None:
        self._left = content

    def read(self, size: int, /) -> bytes:
        found, self._left = self._left[:size], self._left[size:]
        return found

    def seek(self, offset: int, /) -> int:
        raise AssertionError

    def close(self) -> None:
        pass


def test_random_and_mutated_files_give_records_or_an_error_in_words(tmp_path: Path) -> None:
    ends = {trial(seed, tmp_path) for seed in range(1, 151)}
    assert ends == {"read whole", "refused at once", "with bad records", "broken off, in words"}
