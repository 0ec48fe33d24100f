"""`--llm`: what a model is asked, what is made of its answers, and what is paid; against a real server."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chat_server import BUSY, GARBAGE, UNFIT, ChatServer, always, first
from said import Said, say

from batchq.app.request import StartRequest, spec_of
from batchq.cli.llm_options import llm_work
from batchq.errors import UsageError
from batchq.fingerprint import fingerprint_of
from batchq.ready.chat import estimated_tokens
from batchq.ready.structured import Schema

KEY = "sk-test-0123456789abcdef"
SCHEMA = {
    "title": "a title",
    "type": "object",
    "properties": {"title": {"type": "string"}},
    "required": ["title"],
    "additionalProperties": False,
}
PRICES = {"small": {"input": 1.0, "cached_input": 0.5, "output": 10.0}}
USD = (30 * 1.0 + 12 * 10.0) / 1e6
"""Of one answer of the server."""

Trial = Callable[..., Said]


@pytest.fixture(scope="module")
def listening() -> Iterator[ChatServer]:
    with ChatServer().listening() as server:
        yield server


@pytest.fixture
def server(listening: ChatServer) -> ChatServer:
    listening.reset()
    return listening


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    Path("ideas.jsonl").write_text('{"id": "a1", "text": "tea", "tags": ["hot"]}\n{"id": "a2", "text": "a bridge"}\n')
    Path("schema.json").write_text(json.dumps(SCHEMA))
    Path("prices.json").write_text(json.dumps(PRICES))
    return tmp_path


@pytest.fixture
def attempt(server: ChatServer, folder: Path, capsys: pytest.CaptureFixture[str]) -> Trial:
    """Runs `batchq try` with a prompt, a model and the server's address, unless other options are given."""

    def run(
        *options: str, prompt: str = "Write a title for: {text}", items: int = 1, source: str = "ideas.jsonl"
    ) -> Said:
        kind = [] if "--llm-batch" in options else ["--llm", prompt, "--model", "small"]
        url = [] if "--base-url" in options else ["--base-url", server.url]
        fast = ["--retry-delay", "0.01", "-n", str(items)]
        return say(capsys, folder / "home", "try", source, *kind, *url, *fast, *options)

    return run


def told(said: Said) -> list[dict[str, Any]]:
    """The items of `try --json`."""
    items: list[dict[str, Any]] = json.loads(said.out)["items"]
    return items


def test_the_model_is_asked_with_what_the_templates_say_and_its_text_is_the_result(
    attempt: Trial, server: ChatServer
) -> None:
    Path("system.txt").write_text("Be brief about {text}.\n")
    options = ["--system", "system.txt", "--max-tokens", "20", "--temperature", "0", "--param", "stop=low"]
    said = attempt("--json", *options, "--param", "seed=7")
    assert said.code == 0, said.err
    assert [item["result"] for item in told(said)] == ["About tea"]
    [call] = server.calls
    assert call.path == "/v1/chat/completions"
    assert call.headers["authorization"] == f"Bearer {KEY}"
    assert call.body == {
        "model": "small",
        "messages": [
            {"role": "system", "content": "Be brief about tea."},
            {"role": "user", "content": "Write a title for: tea"},
        ],
        "max_tokens": 20,
        "temperature": 0.0,
        "stop": "low",
        "seed": 7,
    }
    assert json.loads(said.out)["spent"] == {"calls": 1, "tokens": 42}


def test_a_long_system_prompt_is_no_file_and_half_a_character_is_sent_as_its_number(
    attempt: Trial, server: ChatServer
) -> None:
    Path("half.jsonl").write_text(r'{"text": "\ud83d tea"}')
    system = "请用英文/法文回答,越短越好。" * 10
    said = attempt("--system", system, "--param", "max_completion_tokens=9", source="half.jsonl")
    assert said.code == 0, said.err
    [call] = server.calls
    assert [message["content"] for message in call.body["messages"]] == [system, "Write a title for: \ud83d tea"]
    assert b"\\ud83d" in call.raw
    assert call.body["max_completion_tokens"] == 9


def test_try_shows_the_prompt_the_answer_and_what_it_used_and_never_the_key(attempt: Trial) -> None:
    said = attempt("--prices", "prices.json", "--system", "Be brief.")
    assert said.code == 0, said.err
    assert "system: Be brief." in said.out
    assert "user: Write a title for: tea" in said.out
    assert "30 tokens in, 12 out, 0.00015000 usd" in said.out
    assert '"About tea"' in said.out
    assert KEY not in said.out + said.err


def test_a_field_that_an_item_lacks_is_told_at_once_and_nothing_is_paid(attempt: Trial, server: ChatServer) -> None:
    [item] = told(attempt("--json", prompt="About {txet}"))
    assert item["error_type"] == "MissingField"
    assert item["attempts"] == 1
    assert "Did you mean text?" in item["error"]
    assert not server.calls


def test_an_answer_that_does_not_fit_is_asked_again_with_the_complaint(attempt: Trial, server: ChatServer) -> None:
    server.script = first(UNFIT)
    said = attempt("--json", "--schema", "schema.json", "--prices", "prices.json")
    assert said.code == 0, said.err
    [item] = told(said)
    assert (item["result"], item["attempts"]) == ({"title": "About tea"}, 1)
    before, after = server.calls
    assert before.body["response_format"]["json_schema"] == {"name": "a_title", "schema": SCHEMA, "strict": True}
    assert after.body["messages"][:1] == before.body["messages"]
    assert after.body["messages"][1] == {"role": "assistant", "content": '{"titel": 1}'}
    assert "'title' is a required property" in after.body["messages"][2]["content"]
    assert json.loads(said.out)["spent"] == {"calls": 2, "tokens": 84, "usd": pytest.approx(2 * USD)}
    assert before.key != after.key


def test_what_never_fits_is_paid_and_fails_with_the_reason(attempt: Trial, server: ChatServer) -> None:
    server.script = always(UNFIT)
    options = ["--schema", "schema.json", "--schema-attempts", "1", "--retry-attempts", "2", "--prices", "prices.json"]
    said = attempt("--json", *options)
    assert said.code == 1
    [item] = told(said)
    assert item["error_type"] == "BadAnswer"
    assert "asked 2 times" in item["error"]
    assert "'title' is a required property" in item["error"]
    assert json.loads(said.out)["spent"] == {"calls": 4, "tokens": 168, "usd": pytest.approx(4 * USD)}
    assert len({call.key for call in server.calls}) == 4


@pytest.mark.parametrize(
    "finish, message, options, code, words, calls",
    [
        ("length", None, [], 0, "About tea", 1),
        ("length", None, ["--schema", "schema.json"], 1, "cut off", 1),
        ("content_filter", None, [], 1, "content filter", 1),
        ("stop", {"content": None, "refusal": "I will not"}, [], 1, "refuses: I will not", 1),
        ("tool_calls", {"content": None, "tool_calls": [{"id": "1"}]}, [], 1, "calls a tool", 1),
        ("stop", {"content": ""}, [], 1, "the answer is empty", 3),
        (
            "stop",
            {"content": [{"type": "text", "text": "in"}, {"type": "text", "text": " parts"}]},
            [],
            0,
            "in parts",
            1,
        ),
        ("stop", {"content": '```json\n{"title": "x"}\n```'}, ["--schema", "schema.json"], 0, '"x"', 1),
    ],
)
def test_how_an_answer_ends_decides_what_becomes_of_it(
    attempt: Trial,
    server: ChatServer,
    finish: str,
    message: dict[str, Any] | None,
    options: list[str],
    code: int,
    words: str,
    calls: int,
) -> None:
    server.finish, server.message = finish, message
    said = attempt(*options)
    assert (said.code, len(server.calls)) == (code, calls), said.out
    assert words in said.out


def test_try_tells_what_stays_in_a_prompt_since_there_is_no_such_field(attempt: Trial) -> None:
    said = attempt(prompt="About {text}, {Frist Name}")
    assert "{Frist Name} is no field of the item, and stays as it is" in said.out


def test_names_of_properties_and_constants_are_no_keywords() -> None:
    members = {"properties": True, "$ref": {"const": {"$ref": "https://example.org/elsewhere"}}}
    closed = {"type": "object", "properties": members, "required": [*members], "additionalProperties": False}
    assert Schema(closed).response_format["json_schema"]["strict"]
    for inner in ({"properties": {"a": {}}}, {"items": {"type": "object"}}):
        outer = {**closed, "properties": {"properties": inner, "$ref": True}}
        assert not Schema(outer).response_format["json_schema"]["strict"]
    with pytest.raises(UsageError, match="'#/nowhere' is not in this schema"):
        Schema({"properties": {"properties": {"anyOf": [{"$ref": "#/nowhere"}]}}})


def test_a_broken_answer_and_an_overload_are_tried_again_and_a_refusal_is_not_paid(
    attempt: Trial, server: ChatServer
) -> None:
    server.script = first(GARBAGE, BUSY)
    server.retry_after = "0.01"
    said = attempt("--json", "--prices", "prices.json")
    [item] = told(said)
    assert (item["result"], item["attempts"]) == ("About tea", 3)
    spent = json.loads(said.out)["spent"]
    estimate = estimated_tokens(server.calls[0].body)
    # Nobody has told what the broken answer cost.
    usd = ((estimate - 256) * 1.0 + 256 * 10.0) / 1e6 + USD
    assert spent == {"calls": 3, "tokens": 42 + estimate, "usd": pytest.approx(usd)}


def test_calls_to_a_server_that_is_not_there_cost_nothing(attempt: Trial) -> None:
    said = attempt("--json", "--prices", "prices.json", "--base-url", "http://127.0.0.1:9/v1", "--retry-attempts", "2")
    [item] = told(said)
    assert (item["error_type"], item["attempts"]) == ("NoAnswer", 2)
    assert {unit: amount for unit, amount in json.loads(said.out)["spent"].items() if amount} == {"calls": 2}


def test_quota_that_is_used_up_holds_the_next_item_back(attempt: Trial, server: ChatServer) -> None:
    server.headers = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "300ms"}
    assert attempt(items=2).code == 0
    one, two = server.calls
    assert two.at - one.told_at > 0.25


def test_a_second_call_for_an_item_waits_for_the_rate_and_for_a_hold(attempt: Trial, server: ChatServer) -> None:
    server.reset(first(UNFIT), headers={"x-ratelimit-remaining": "0", "x-ratelimit-reset": "0.4"})
    assert attempt("--schema", "schema.json").code == 0
    one, two = server.calls
    assert two.at - one.told_at > 0.35

    server.reset(first(UNFIT))
    began = time.monotonic()
    assert attempt("--schema", "schema.json", "--rate", "2/s").code == 0
    _, two = server.calls
    assert two.at - began > 0.49


def test_tokens_are_estimated_before_the_call_and_settled_after_it(attempt: Trial, server: ChatServer) -> None:
    # An estimate of 5 + 95 tokens a call at 100 a second: the second one waits for the 42 that the first has used.
    began = time.monotonic()
    said = attempt("--max-tokens", "95", "--rate", "tokens=100/s", items=2)
    assert said.code == 0, said.err
    _, two = server.calls
    assert two.at - began > 0.4


WRONG = {
    "no model": (["--llm", "x"], "Name it with --model"),
    "no prompt": (["--llm", " ", "--model", "m"], "the prompt is empty"),
    "two kinds": (["--llm", "x", "--llm-batch"], "exclude each other"),
    "an option for a prompt": (["--llm", "--model", "m"], "--llm lacks its value: --model comes next"),
    "a function too": (["--llm", "x", "--model", "m", "--func", "a:b"], "exclude each other"),
    "no kind": (["--func", "a:b", "--model", "m"], "--model is of use with --llm only"),
    "of a prompt": (["--llm-batch", "--model", "m"], "--model is of use with --llm only"),
    "no file": (["--llm", "@nosuch.txt", "--model", "m"], "--llm: nosuch.txt: No such file"),
    "nearly a file": (["--llm", "@idea.jsonl", "--model", "m"], "Did you mean ideas.jsonl?"),
    "an @": (["--llm", "@you: x", "--model", "m"], "a space before it makes it a text"),
    "no system": (["--llm", "x", "--model", "m", "--system", "nosuch.txt"], "there is no file nosuch.txt"),
    "no JSON": (["--llm", "x", "--model", "m", "--schema", "ideas.jsonl"], "ideas.jsonl, line 2, column 1: not JSON"),
    "no schema": (
        ["--llm", "x", "--model", "m", "--schema", "bad.json"],
        "is not valid under any of the given schemas",
    ),
    "another's schema": (["--llm", "x", "--model", "m", "--schema", "far.json"], "is not in this schema"),
    "schema of nothing": (
        ["--llm", "x", "--model", "m", "--schema", "lost.json"],
        "'#/$defs/no' is not in this schema",
    ),
    "schema in a ring": (["--llm", "x", "--model", "m", "--schema", "ring.json"], "leads back to itself"),
    "null for a schema": (["--llm", "x", "--model", "m", "--schema", "null.json"], "null.json holds null only"),
    "schema attempts": (["--llm", "x", "--model", "m", "--schema-attempts", "1"], "of use with --schema only"),
    "no price": (["--llm", "x", "--model", "m", "--prices", "prices.json"], "There is one for small"),
    "no table": (["--llm", "x", "--model", "m", "--prices", "schema.json"], "this is no price"),
    "budget": (["--llm", "x", "--model", "m", "--budget", "usd=1"], "would never be reached"),
    "no key": (["--llm", "x", "--model", "m", "--api-key-env", "NO_SUCH_KEY"], "NO_SUCH_KEY"),
    "the key itself": (["--llm", "x", "--model", "m", "--api-key-env", "sk-01-23"], "the name of a variable"),
    "no address": (["--llm", "x", "--model", "m", "--base-url", "ftp://x"], "is no address"),
    "a call's address": (
        ["--llm", "x", "--model", "m", "--base-url", "http://x/v1/chat/completions/"],
        "Say http://x/v1\n",
    ),
    "two limits": (
        ["--llm", "x", "--model", "m", "--max-tokens", "5", "--param", "max_completion_tokens=6"],
        "cannot set 'max_completion_tokens'",
    ),
    "a password": (["--llm", "x", "--model", "m", "--base-url", "http://me:s3cret@x/v1"], "must not hold a password"),
    "a stream": (["--llm", "x", "--model", "m", "--param", "stream=true"], "cannot set 'stream'"),
    "no param": (["--llm", "x", "--model", "m", "--param", "stop=[1"], "is not JSON"),
    "no number": (["--llm", "x", "--model", "m", "--param", "top_p=NaN"], "that JSON does not have"),
    "no temperature": (["--llm", "x", "--model", "m", "--temperature", "nan"], "--temperature must be"),
    "template": (["--llm", "{% if %}", "--model", "m"], "--llm"),
}


@pytest.mark.parametrize("options, words", WRONG.values(), ids=WRONG.keys())
def test_what_cannot_be_used_is_told_before_anything_is_stored(
    folder: Path, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    Path("bad.json").write_text('{"type": "nosuchtype"}')
    Path("far.json").write_text('{"$ref": "https://example.org/schema.json"}')
    Path("lost.json").write_text('{"properties": {"title": {"$ref": "#/$defs/no"}}}')
    Path("ring.json").write_text('{"$ref": "#"}')
    Path("null.json").write_text("null")
    said = say(capsys, folder / "home", "start", "ideas.jsonl", *options)
    assert said.code == 2
    assert words in said.err
    assert "Traceback" not in said.err
    assert "sk-01-23" not in said.err and "s3cret" not in said.err
    assert not (folder / "home").exists()


def test_openai_needs_a_key_and_a_local_server_does_not(
    attempt: Trial, server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    assert attempt().code == 0
    assert "authorization" not in server.calls[0].headers
    monkeypatch.setenv("OPENAI_API_KEY", "About")
    assert '"About tea"' in attempt().out  # a key that is no secret is no reason to change an answer
    assert server.calls[1].headers["authorization"] == "Bearer About"
    monkeypatch.delenv("OPENAI_API_KEY")
    said = attempt("--base-url", "https://api.openai.com/v1")
    assert said.code == 2
    assert "OPENAI_API_KEY" in said.err


def test_another_price_or_key_makes_no_other_work_of_it_for_reuse(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made_of(**given: Any) -> str | None:
        work = llm_work("llm", {"llm": "{text}", "model": "small", "base_url": "http://127.0.0.1:1/v1", **given}, ())
        return fingerprint_of(spec_of(StartRequest("ideas.jsonl", work=work)), print)

    paid = made_of(prices="prices.json")
    assert paid == made_of()
    monkeypatch.delenv("OPENAI_API_KEY")
    assert paid == made_of()
    assert paid != made_of(max_tokens=5)


def test_records_of_a_batch_file_run_as_they_are(attempt: Trial, server: ChatServer) -> None:
    chat = {"model": "small", "messages": [{"role": "user", "content": "about: tea"}], "max_tokens": 9}
    records = [
        {"custom_id": "c1", "method": "POST", "url": "/v1/chat/completions", "body": chat},
        {"custom_id": "c2", "method": "POST", "url": "/v1/embeddings", "body": {"model": "small", "input": "tea"}},
        {"custom_id": "c3", "method": "GET", "url": "/v1/models", "body": {}},
        {"custom_id": "c4", "method": "POST", "url": "http://elsewhere/v1/chat/completions", "body": chat},
        {"custom_id": "c5", "method": "POST", "url": "/v1/../admin", "body": chat},
        {"custom_id": "c6", "method": "POST", "url": "/v1/chat/completions", "body": {**chat, "model": "other"}},
        {"id": "c7", "text": "no call at all"},
    ]
    Path("batch.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    said = attempt("--llm-batch", "--json", "--prices", "prices.json", items=9, source="batch.jsonl")
    items = {item["id"]: item for item in told(said)}
    response = items["c1"]["result"]
    assert response["status_code"] == 200
    assert response["body"]["choices"][0]["message"]["content"] == "About tea"
    assert items["c2"]["result"]["body"]["data"][0]["embedding"] == [0.5, 1.0]
    assert [call.path for call in server.calls] == ["/v1/chat/completions", "/v1/embeddings"]
    assert server.calls[0].body == chat
    failed = {item_id: item["error"] for item_id, item in items.items() if item["status"] == "failed"}
    assert failed.keys() == {"c3", "c4", "c5", "c6", "c7"}
    assert "no price for 'other'" in failed["c6"]
