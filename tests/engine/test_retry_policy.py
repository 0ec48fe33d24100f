"""What is tried again, and after how long: permanent answers, asked-for waits, names, the budget."""

from __future__ import annotations

import email.utils
from typing import Any
from urllib.error import HTTPError

import pytest

from batchq.config import RetryConfig
from batchq.engine.http_errors import LONGEST_WAIT, retry_after_of, status_of
from batchq.engine.retry import RetryHandler
from batchq.errors import Halt, Permanent, RetryAfter


class Response:
    """As httpx and requests have it."""

    def __init__(self, status: int, headers: dict[str, str]) -> None:
        self.status_code = status
        self.headers = headers


class HttpxError(Exception):
    """As httpx, requests, openai and anthropic raise it: with a response."""

    def __init__(self, status: int, **headers: str) -> None:
        super().__init__(f"status {status}")
        self.response = Response(status, {name.replace("_", "-"): value for name, value in headers.items()})


class AiohttpError(Exception):
    """As aiohttp raises it: status and headers of its own."""

    def __init__(self, status: int, **headers: str) -> None:
        super().__init__(f"status {status}")
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def urllib_error(status: int, **headers: str) -> HTTPError:
    message: Any = {name.replace("_", "-"): value for name, value in headers.items()}
    return HTTPError("http://127.0.0.1", status, "no", message, None)


SHAPES = [HttpxError, AiohttpError, urllib_error]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 451])
def test_answer_that_cannot_get_better_is_not_tried_again(shape: Any, status: int) -> None:
    assert RetryHandler().delay_after(shape(status), 1) is None


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504])
def test_answer_that_can_get_better_is_tried_again(shape: Any, status: int) -> None:
    assert RetryHandler().delay_after(shape(status), 1) == 1.0


@pytest.mark.parametrize("shape", SHAPES)
def test_wait_that_the_server_asks_for_is_obeyed(shape: Any) -> None:
    assert RetryHandler().delay_after(shape(429, retry_after="7"), 1) == 7.0
    assert RetryHandler().delay_after(shape(503, Retry_After="2.5"), 2) == 2.5


def test_date_that_the_server_names_is_waited_for() -> None:
    when = email.utils.formatdate(1_000_030, usegmt=True)
    assert retry_after_of(HttpxError(503, retry_after=when), now=lambda: 1_000_000.0) == 30.0
    assert retry_after_of(HttpxError(503, retry_after=when), now=lambda: 2_000_000.0) == 0.0


@pytest.mark.parametrize("text", ["soon", "", "nan", "inf", "-", "Mon, 99 Foo 2026"])
def test_wait_that_cannot_be_read_leaves_the_usual_one(text: str) -> None:
    assert RetryHandler().delay_after(HttpxError(429, retry_after=text), 2) == 2.0


def test_milliseconds_are_obeyed_and_absurd_waits_are_cut() -> None:
    assert RetryHandler().delay_after(HttpxError(429, retry_after_ms="1500"), 1) == 1.5
    assert RetryHandler().delay_after(HttpxError(429, retry_after="1e9"), 1) == LONGEST_WAIT
    assert RetryHandler().delay_after(RetryAfter(1e12), 1) == LONGEST_WAIT


def test_handler_says_when_to_try_again_and_attempts_still_count() -> None:
    handler = RetryHandler(RetryConfig(max_attempts=2))
    assert handler.delay_after(RetryAfter(5), 1) == 5.0
    assert handler.delay_after(RetryAfter(5), 2) is None


def test_exception_that_says_of_itself_that_it_cannot_get_better_is_believed() -> None:
    class AuthError(Exception):
        retryable = False

    class Throttled(AuthError):
        retryable = True

    assert RetryHandler().delay_after(AuthError(), 1) is None
    assert RetryHandler().delay_after(Throttled(), 1) is not None
    assert RetryHandler(RetryConfig(retry_on=("AuthError",))).delay_after(AuthError(), 1) is not None


@pytest.mark.parametrize("error", [Permanent("no"), Halt("stop"), TypeError(), KeyboardInterrupt(), SystemExit()])
def test_what_says_that_it_is_permanent_is_not_tried_again(error: BaseException) -> None:
    assert RetryHandler().delay_after(error, 1) is None


def test_types_that_the_user_names_are_obeyed_with_those_derived_from_them() -> None:
    handler = RetryHandler(RetryConfig(no_retry=("LookupError", "builtins.ValueError"), retry_on=("TypeError",)))
    assert handler.delay_after(KeyError("k"), 1) is None
    assert handler.delay_after(UnicodeDecodeError("utf-8", b"", 0, 1, "x"), 1) is None
    assert handler.delay_after(TypeError(), 1) == 1.0
    assert handler.delay_after(NameError(), 1) is None
    assert RetryHandler(RetryConfig(retry_on=("HttpxError",))).delay_after(HttpxError(404), 1) == 1.0


def test_exception_whose_attributes_raise_is_judged_like_any_other() -> None:
    class Odd(Exception):
        @property
        def response(self) -> Any:
            raise RuntimeError("no response was read")

    assert status_of(Odd()) is None
    assert RetryHandler().delay_after(Odd(), 1) == 1.0


def test_retries_stay_within_their_budget_once_there_are_more_than_a_few() -> None:
    handler = RetryHandler(RetryConfig(budget=0.1))
    for _ in range(900):
        handler.succeeded()
    granted = sum(handler.delay_after(ConnectionError(), 1) is not None for _ in range(300))
    assert 90 <= granted <= 120


def test_outage_at_the_very_beginning_is_granted_a_few_retries() -> None:
    handler = RetryHandler(RetryConfig(budget=0.01))
    assert sum(handler.delay_after(ConnectionError(), 1) is not None for _ in range(100)) == 10
