"""Failures told as text: what is stored of an exception, whatever it is, and which of them are of one kind."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import pytest

from batchq.engine.failures import ERROR_CHARS, TRACEBACK_HEAD, TRACEBACK_TAIL, describe
from batchq.engine.fingerprint import fingerprint
from batchq.engine.results import to_json
from batchq.errors import UnserializableResult
from batchq.model import Failure

ALIKE = {
    "quoted names": ("user 'Ann' not found", "user 'Bob Smith' not found"),
    "names in other quotes": ("用户「安」不存在", "用户「鲍勃」不存在"),
    "numbers in other scripts": ("項目17が見つかりません", "項目9が見つかりません"),
    "other digits": ("العنصر ٤٢ مفقود", "العنصر ٤٣٢ مفقود"),
    "addresses with ids": ("GET https://api.example.org/v1/ann?k=v failed", "GET https://api.example.org/v2/b failed"),
    "dates": ("not before 2026-11-26T10:00:01Z", "not before 2025-01-02T23:59:00Z"),
    "dates in words": ("expired Thu, 26 Nov 2026 10:00:00 GMT", "expired Fri, 1 May 2026 23:00:00 GMT"),
    "IPv4": ("refused by 10.0.0.1:80", "refused by 192.168.1.77:8080"),
    "IPv6": ("refused by fe80::abcd:1", "refused by 2001:db8::ff"),
    "paths": ("cannot open /data/in/ann.txt", "cannot open /data/out/x/bob.txt"),
    "quoted paths": ("[Errno 2] No such file: '/a/ann'", "[Errno 2] No such file: 'c d'"),
    "lists of different length": ("missing ids 1, 2 and 3", "missing ids 4"),
    "dicts": ("bad {'id': 'x1', 'name': 'Ann'}", "bad {'id': 'y', 'name': 'Bob', 'z': 'q'}"),
    "UUIDs": ("id 3f2504e0-4f89-11d3-9a0c-0305e82c3301", "id 00000000-4f89-11d3-9a0c-0305e82c3302"),
    "hexadecimal": ("at 0x7f00ff, deadbeefdeadbeef", "at 0x7abc, cafebabecafebabecafe"),
    "mail": ("ann@example.org bounced", "bob.b@example.co.uk bounced"),
    "long messages": ("bad text '" + "x" * 90_000, "bad text '" + "yz " * 400 + "'"),
    "an apostrophe in a word": ("can't read the user's 'x'", "can't read the user's 'y'"),
}
APART = {
    "statuses": ("HTTP 503 from it", "HTTP 404 from it"),
    "status codes": ("status code: 429", "status code: 500"),
    "exit codes": ("exit code 1", "exit code 137"),
    "hosts": ("https://a.example.org/x is down", "https://b.example.org/x is down"),
    "words": ("the disk is full", "the disk is empty"),
}


@pytest.mark.parametrize("kind", ALIKE)
def test_messages_that_differ_in_what_varies_are_of_one_kind(kind: str) -> None:
    one, other = ALIKE[kind]
    assert fingerprint("E", "a.py:1", one) == fingerprint("E", "a.py:1", other)


@pytest.mark.parametrize("kind", APART)
def test_messages_that_differ_in_what_matters_are_not(kind: str) -> None:
    one, other = APART[kind]
    assert fingerprint("E", "a.py:1", one) != fingerprint("E", "a.py:1", other)


def test_type_place_and_names_of_the_program_tell_kinds_apart() -> None:
    assert fingerprint("E", "a.py:1", "x") != fingerprint("F", "a.py:1", "x")
    assert fingerprint("E", "a.py:1", "x") != fingerprint("E", "a.py:2", "x")
    messages = ("'NoneType' object has no attribute 'text'", "'NoneType' object has no attribute 'title'")
    assert len({fingerprint("AttributeError", "a.py:1", message) for message in messages}) == 2


@pytest.mark.parametrize(
    "piece", ["x", "a1", "'", "\\'", '"', "/a", "a/", "1 ", "ab: ", "http://", ":", "a@", "a.b-", "\\", "12 Jan "]
)
def test_no_message_takes_long_to_compare(piece: str) -> None:
    began = time.process_time()
    fingerprint("E", "", piece * 100_000)
    assert time.process_time() - began < 0.25


def failure_of(function: Callable[[], object]) -> Failure:
    try:
        function()
    except BaseException as error:
        return describe(error)
    raise AssertionError("it did not fail")


class RaisesInText(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)

    __repr__ = __str__


class TextIsNoText(Exception):
    def __str__(self) -> str:
        return 3  # type: ignore[return-value]


class StrangeText(str):
    __slots__ = ()

    def strip(self, chars: str | None = None, /) -> str:
        raise RuntimeError("no")

    def encode(self, encoding: str = "", errors: str = "") -> bytes:
        raise RuntimeError("no")


class Strange(Exception):
    def __str__(self) -> str:
        return StrangeText("odd, but a text")


def raising(error: BaseException) -> Callable[[], object]:
    def function() -> object:
        raise error

    return function


def test_exceptions_that_lie_are_told() -> None:
    told = failure_of(raising(RaisesInText()))
    assert told.error == "<RaisesInText, whose text raises SystemExit>"
    assert "in function" in told.traceback and told.frame.endswith("in function")
    assert failure_of(raising(TextIsNoText())).error == "<TextIsNoText, whose text raises TypeError>"
    strange = failure_of(raising(Strange()))
    assert (type(strange.error), strange.error) == (str, "odd, but a text")
    assert failure_of(raising(ValueError("half \ud83d and \0"))).error == "half \\ud83d and \\x00"


def test_huge_text_and_long_traceback_keep_their_head_and_their_tail() -> None:
    def down(n: int) -> int:
        return up(n)

    def up(n: int) -> int:
        return down(n + 1)

    told = failure_of(lambda: down(0))
    assert told.traceback.startswith("Traceback (most recent call last):\n")
    assert told.traceback.rstrip().rpartition("\n")[2].startswith("RecursionError: ")
    assert " characters left out …\n" in told.traceback
    huge = failure_of(raising(ValueError("x" * 5_000_000 + "the end")))
    assert len(huge.error) == ERROR_CHARS
    assert huge.traceback.endswith("the end\n") and "in function" in huge.traceback
    assert max(len(told.traceback), len(huge.traceback)) < TRACEBACK_HEAD + TRACEBACK_TAIL + 100


def test_causes_and_notes_are_in_the_traceback() -> None:
    error = ValueError("the answer has no title")
    if sys.version_info >= (3, 11):
        error.add_note("asked with key 7")

    def chained() -> None:
        try:
            raise KeyError("title")
        except KeyError as cause:
            raise error from cause

    told = failure_of(chained)
    assert "KeyError: 'title'" in told.traceback and "direct cause" in told.traceback
    assert "asked with key 7" in told.traceback or sys.version_info < (3, 11)
    assert told.error == "the answer has no title"


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 has no groups of exceptions")
def test_group_of_exceptions_names_what_it_is_a_group_of() -> None:
    groups = __import__("builtins")

    def grouped(message: str, *others: Exception) -> Failure:
        inner = groups.ExceptionGroup("within", [KeyError("k"), *others])
        return failure_of(raising(groups.ExceptionGroup("unhandled errors", [ValueError(message), inner])))

    told = grouped("no answer to 17")
    assert told.error == "unhandled errors (2 sub-exceptions): ValueError: no answer to 17; KeyError: KeyError('k')"
    assert "ValueError: no answer to 17" in told.traceback and "KeyError: 'k'" in told.traceback
    assert grouped("no answer to 9").fingerprint == told.fingerprint
    assert grouped("refused").fingerprint != told.fingerprint
    assert grouped("x", *[OSError(str(n)) for n in range(99)]).error.endswith("; …")


def test_place_is_the_last_line_of_the_users_own_code_and_never_ours() -> None:
    def asks() -> object:
        return json.loads("{oops")

    assert failure_of(asks).frame.endswith(" in asks")
    assert failure_of(lambda: to_json(object())).frame.endswith(" in <lambda>")
    try:
        to_json(object())
    except UnserializableResult as error:
        assert error.__traceback__ is not None
        assert describe(error.with_traceback(error.__traceback__.tb_next)).frame == ""
