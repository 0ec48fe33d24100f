"""``--llm``: each item is put to a language model, behind an API of chat completions like OpenAI's.

item ─▶ templates ─▶ messages ─▶ POST …/chat/completions ─▶ text, or the value that fits the schema
                        ▲                                      │
                        └── the answer, and what is wrong with it ◀┘  as often as --schema-attempts says
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from batchq.config import check_number
from batchq.context import Context
from batchq.errors import AnswerRefused, BadAnswer, UsageError
from batchq.handlers import Handler
from batchq.ready import Work
from batchq.ready.chat import LENGTH, PATH, Message, answer_in, asked_again, messages_of, shortened, told_of
from batchq.ready.provider import OPENAI, Provider, is_trial, needs_key, setup_of
from batchq.ready.structured import Schema
from batchq.ready.templates import Template

TITLE_CHARS: Final = 60
OURS: Final = ("model", "messages", "stream", "n", "response_format", "max_tokens")
"""Fields of a request that are said otherwise, or would change what comes back."""
STORED: Final = (
    *("prompt", "system", "model", "base_url", "key_env", "key_needed", "schema", "schema_attempts"),
    *("max_tokens", "temperature", "params", "prices"),
)


def check(options: Mapping[str, Any]) -> dict[str, Any]:
    """What is stored of the options of ``--llm``; see `Kind.check`."""
    need_client("--llm")
    if not options.get("model"):
        raise UsageError("--llm needs a model", "Name it with --model.")
    if not options["prompt"].strip():
        raise UsageError("--llm: the prompt is empty")
    # Alone it may stand: OpenAI's newer models want this name behind other addresses as well.
    ours = OURS if options["max_tokens"] is None else (*OURS, "max_completion_tokens")
    for name in options["params"]:
        if name in ours:
            raise UsageError(f"--param cannot set {name!r}", "--model, --max-tokens and --schema say such things.")
    if options["temperature"] is not None:
        check_number("--temperature", options["temperature"])
    stored = {name: options[name] for name in STORED}
    make(stored)
    stored["key_needed"] = needs_key(stored)
    return {"title": f"--llm {' '.join(options['prompt'].split())[:TITLE_CHARS]}", **stored}


def make(work: Mapping[str, Any]) -> Work:
    """The handler of what `check` returned; raises `UsageError` where it cannot be used here."""
    provider = Provider.of(work)
    chat = Chat(work, provider)
    return Work(Handler.of(chat.ask, work.get("title", "--llm"), stays=True), setup_of(provider), chat.preview)


def need_client(option: str) -> None:
    """Raise `UsageError` where the library that makes calls is not installed."""
    if importlib.util.find_spec("aiohttp") is None:
        raise UsageError(f"{option} needs a library that is not installed", "Install it: pip install 'batchq[llm]'")


class Chat:
    """Asks one model about items.

    Args:
        work: what `check` returned.
        provider: where the model is.

    Raises:
        UsageError: a template, the schema or the prices cannot be used.
    """

    def __init__(self, work: Mapping[str, Any], provider: Provider) -> None:
        self._provider = provider
        self._prompt = Template.of(work["prompt"], "--llm")
        self._system = None if work["system"] is None else Template.of(work["system"], "--system")
        self._schema = None if work["schema"] is None else Schema(work["schema"])
        self._questions = 1 + (work["schema_attempts"] if self._schema else 0)
        self._body = _body_of(work, provider.base_url)
        if self._schema is not None:
            self._body["response_format"] = self._schema.response_format
        provider.price(work["model"])

    async def ask(self, item: Any, ctx: Context) -> Any:
        """What the model answers to `item`: the text, or with a schema the value.

        Raises:
            MissingField: a template names a field that the item does not have.
            AnswerRefused: the answer cannot be used, and would not be another the next time.
            BadAnswer: it does not fit, however often the model was asked.
            HttpError: the server has answered with an error.
            NoAnswer: it has not answered, or not to the end.
        """
        messages = self._messages(item)
        complaint = ""
        for question in range(self._questions):
            if question:
                await ctx.turn()
            body = {**self._body, "messages": messages}
            _, told = await self._provider.post(ctx, PATH, body, self._key(ctx, question))
            said = answer_in(told)
            if self._schema is None:
                if said.finish == LENGTH:
                    ctx.log.warning("the answer is cut off: it has as many tokens as it may have")
                return said.text
            if said.finish == LENGTH:
                raise AnswerRefused("the answer is cut off before it is whole: it has as many tokens as it may have")
            value, wrong = self._schema.read(said.text)
            if wrong is None:
                return value
            complaint = wrong
            again = asked_again(said.text, complaint)
            if is_trial(ctx) and question + 1 < self._questions:
                ctx.log.info("asked again:\n%s", told_of(again))
            messages = [*messages, *again]
        times = f", asked {self._questions} times" if self._questions > 1 else ""
        raise BadAnswer(f"the answer does not fit the schema{times}: {complaint}; it was {shortened(said.text)!r}")

    def preview(self, item: Any, ctx: Context) -> str:
        """What the model is going to be asked about `item`."""
        for template in filter(None, (self._system, self._prompt)):
            for text in template.left_in(item):
                ctx.log.info("%s is no field of the item, and stays as it is", text)
        return told_of(self._messages(item))

    def _messages(self, item: Any) -> list[Message]:
        system = None if self._system is None else self._system.render(item)
        return messages_of(system, self._prompt.render(item))

    def _key(self, ctx: Context, question: int) -> str:
        if self._schema is None:
            return ctx.idempotency_key
        # Another attempt wants another answer, not the one again that did not fit.
        return f"{ctx.idempotency_key}:a{ctx.attempt}" + (f":q{question + 1}" if question else "")


def _body_of(work: Mapping[str, Any], base_url: str) -> dict[str, Any]:
    """What each request says but its messages."""
    body: dict[str, Any] = {"model": work["model"], **work["params"]}
    if work["temperature"] is not None:
        body["temperature"] = work["temperature"]
    if work["max_tokens"] is not None:
        # OpenAI's newer models know only this name, which most other servers do not know.
        limit = "max_completion_tokens" if urlsplit(base_url).hostname == OPENAI else "max_tokens"
        body[limit] = work["max_tokens"]
    return body
