"""Chat completions: what a model is sent, and what is read from its answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from batchq.errors import AnswerRefused, BadAnswer
from batchq.ready.prices import CHARACTERS_A_TOKEN, Usage, usage_of

Message = dict[str, Any]
PATH: Final = "/chat/completions"
LENGTH: Final = "length"
FILTERED: Final = "content_filter"
ANSWER_TOKENS: Final = 256
"""Of an answer before it has come, where nothing limits it."""
SHOWN: Final = 300
"""Characters of what a server or a model says that an error tells."""
LIMITS: Final = ("max_tokens", "max_completion_tokens", "max_output_tokens")
"""How requests call the most tokens that an answer may have."""


class Said(NamedTuple):
    """What a model has said.

    Attributes:
        text: it.
        finish: why it ended there: ``stop``, ``length`` …
    """

    text: str
    finish: str


def messages_of(system: str | None, prompt: str) -> list[Message]:
    """How a conversation begins."""
    first = [] if system is None else [{"role": "system", "content": system}]
    return [*first, {"role": "user", "content": prompt}]


def asked_again(answer: str, complaint: str) -> list[Message]:
    """How a conversation goes on in which the model's answer does not fit."""
    wish = f"That answer cannot be used: {complaint}\nAnswer again, with JSON that fits the schema and nothing else."
    return [{"role": "assistant", "content": answer}, {"role": "user", "content": wish}]


def told_of(messages: Sequence[Message]) -> str:
    """Messages for people.

    Example:
        >>> print(told_of(messages_of("Be brief.", "Name a tea.")))
        system: Be brief.
        user: Name a tea.
    """
    return "\n".join(f"{message['role']}: {message['content']}" for message in messages)


def estimated_tokens(body: Mapping[str, Any]) -> int:
    """The tokens that a request will use, about: of what it says, and the most that its answer may have.

    Example:
        >>> estimated_tokens({"messages": [{"role": "user", "content": "x" * 400}], "max_tokens": 50})
        151
    """
    limit = next((body[name] for name in LIMITS if type(body.get(name)) is int), ANSWER_TOKENS)
    said = [body[name] for name in ("messages", "input", "instructions", "prompt") if name in body]
    return characters(said) // CHARACTERS_A_TOKEN + max(0, limit)


def lost(body: Mapping[str, Any]) -> Usage:
    """What a call has used, about, whose answer nobody has seen."""
    prompt = estimated_tokens({**body, **dict.fromkeys(LIMITS, 0)})
    return Usage(prompt, estimated_tokens(body) - prompt)


def used(body: Mapping[str, Any], answer: Any) -> Usage:
    """What a call has used: as the server says, else an estimate from what was said."""
    told = usage_of(answer)
    if told is not None:
        return told
    said = answer.get("choices", answer.get("output")) if isinstance(answer, Mapping) else answer
    return Usage(lost(body).input, characters(said) // CHARACTERS_A_TOKEN)


def characters(value: Any) -> int:
    """Of all texts in `value`."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(map(characters, value.values()))
    return sum(map(characters, value)) if isinstance(value, Sequence) else 0


def answer_in(body: Any) -> Said:
    """What the model has said.

    Args:
        body: what the server answered.

    Raises:
        AnswerRefused: it has said nothing that can be used, nor would it the next time.
        BadAnswer: it has said nothing, or the server answered something else.

    Example:
        >>> answer_in({"choices": [{"message": {"content": "Tea"}, "finish_reason": "stop"}]})
        Said(text='Tea', finish='stop')
    """
    choice = _choice(body)
    message = choice["message"]
    finish = str(choice.get("finish_reason") or "stop")
    if finish == FILTERED:
        raise AnswerRefused("the provider's content filter has held the answer back")
    if refusal := message.get("refusal"):
        raise AnswerRefused(f"the model refuses: {shortened(refusal)}")
    text = _text(message.get("content"))
    if text:
        return Said(text, finish)
    if message.get("tool_calls") or message.get("function_call"):
        raise AnswerRefused("the model calls a tool instead of answering, and there are none here")
    if finish == LENGTH:
        raise AnswerRefused("the model reached its limit of tokens before it said anything")
    raise BadAnswer(f"the answer is empty (finish_reason {finish})")


def _choice(body: Any) -> Mapping[str, Any]:
    if not isinstance(body, Mapping):
        raise BadAnswer(f"this is no chat completion: {shortened(body)}")
    choices = body.get("choices")
    if not choices and (error := body.get("error")):  # some gateways tell errors with status 200
        said = error.get("message", error) if isinstance(error, Mapping) else error
        raise BadAnswer(f"the server answers with an error: {shortened(said)}")
    first = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(first, Mapping) or not isinstance(first.get("message"), Mapping):
        raise BadAnswer(f"this is no chat completion: {shortened(body)}")
    return first


def _text(content: Any) -> str:
    """A text, which some servers send in parts."""
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, Mapping))
        return "".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""


def shortened(value: Any) -> str:
    """The beginning of what somebody says, on one line."""
    text = " ".join(str(value).split())
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
