"""An example pipeline without a network: a content idea becomes keywords, a title and an outline.

    idea ──▶ keywords (RAKE: runs of words between stop words) ──▶ title (template by genre) ──▶ outline

Run it with ``batchq start data/ideas.jsonl --func data/pipeline.py:make_title``.  The same idea always gives the
same result.  It can play an API that is slow, fails and hangs; these environment variables say how much:

    PIPELINE_DELAY            seconds that each call takes (default 0.2)
    PIPELINE_FAIL             share of the attempts, 0 to 1, that fail with `ServiceBusy` (default 0)
    PIPELINE_STALL            share of the attempts that hang before they answer (default 0)
    PIPELINE_STALL_SECONDS    how long those hang (default 30)
    PIPELINE_PHRASEBOOK       a JSON file with templates of your own, for `phrasebook` (see `Phrasebook.load`)

Which attempts fail or hang follows from the idea's id and the number of the attempt, so that a run repeats itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from batchq import Context

MAX_KEYWORDS: Final = 5
MAX_PHRASE: Final = 3
"""Words in a keyword; a longer run of words is a clause rather than a keyword."""
TAG_BONUS: Final = 4.0
"""More than a word of an untagged keyword can have by its neighbours alone (`MAX_PHRASE`)."""
MAX_MIDDLE: Final = 3
"""Points of an outline between its opening and its closing; at least one."""

STOP_WORDS: Final[Mapping[str, frozenset[str]]] = {
    language: frozenset(words.split())
    for language, words in {
        "en": """a about across actually after against all always am an and any are around as at be became
            because before began behind between both but buys by calls can cannot could days did do does
            down during each early eight eleven ends every everyone exactly explains feed few fifteen find
            five for forgets forty four from get give gives good had has have help her his hour how hundred
            i if in including inside into is it its just keep kept knows last leave like little lose loses
            make makes mark measured most moves my need never new nine ninety no nobody not nothing of off
            on once one only or other our out over own part per precisely proves put really repairs said
            same selling sent seven she should six sixty slower so some spending still survive tested than
            that the their them then there these they thing third thirty this thousand three through to too
            turned twelve twenty twice two under until up us use used visit wake want wanted was we what
            when where which while who whom whose why will winds with within without would year years you
            your""",
        "de": """aber als am an auch auf aus bei bis das dem den der des die durch ein eine einem einen einer eines
            erzählt für fällt größere höchstens im in ist man manchmal mit nach nicht oder ohne schafft sich spricht
            statt steigt trotzdem um und unter von vom warum was wenn wie wird zu zum zur zwei zwischen über
            überstand""",
        "fr": """a après au aux avec c ce ces chat choisit comment d dans de depuis des devient du elle en est et fruits grâce
            huit il ils je l la le les leur mais n ne ou par pas peu plus pour produit qu que qui raconte réussir s
            sa sans se son sont sur très un une vers à""",
        "es": """a al aprender como con convirtió de debería del desde donde echó el en entre era ser es fue la las lo los mi
            más noticia nunca para pequeña por qué que se sienten sin siete su tras tres un una y""",
        "it": """a ad agli ai al alla alzarsi che chi con da dai dal del della delle di e ed gli i il in la le lo ma molta
            nel o per perché più racconta ripara se senza si sogna spiegato su sul un una uno""",
        "pt": """a ao as com como da das de do dos e em é na nas nem no nos numa o os ou para pelo por que se sem
            sobrevive trocou um uma virou à""",
        "pl": """czyli dla dlaczego do i jest na nie od po przez się słyszy w własnej wyrzuca z za ze że""",
    }.items()
}

WORD: Final = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*")
ELISION: Final = re.compile(r"\b(?:[cdjlmnst]|qu|dell|dall|nell|sull|all|un)['’]", re.IGNORECASE)
"""French and Italian: the article is glued to its noun."""
JAPANESE_RUN: Final = re.compile(r"[一-龯々]{2,}|[ァ-ヴー]{2,}")
"""Japanese has no spaces; runs of kanji or katakana are its content words, hiragana joins them."""

TITLES: Final[Mapping[str, Sequence[str]]] = {
    "how-to": ("How to start with {topic}: a guide for {audience}", "{topic}, step by step, for {audience}"),
    "listicle": ("{topic}: a short list for {audience}", "A list worth keeping: {topic}"),
    "explainer": ("{topic}, explained for {audience}", "What {audience} should know about {topic}"),
    "story": ("A story of {topic}", "{topic}: a story for {audience}"),
    "opinion": ("Let us talk about {topic}", "{topic}: an opinion for {audience}"),
    "interview": ("In conversation: {topic}", "Ten questions about {topic}"),
    "review": ("{topic}, tested for {audience}", "A long look at {topic}"),
    "case-study": ("{topic}: what {audience} can learn", "Looking closer: {topic}"),
    "checklist": ("{topic}: the checklist for {audience}", "Nothing forgotten: {topic}"),
    "comparison": ("{topic}: which one suits {audience}?", "Side by side: {topic}"),
    "de": ("{topic}: was man wissen sollte", "Im Blick: {topic}"),
    "fr": ("{topic} : ce qu’il faut savoir", "Regard sur {topic}"),
    "es": ("{topic}: lo que conviene saber", "Una mirada a {topic}"),
    "it": ("{topic}: che cosa sapere", "Uno sguardo: {topic}"),
    "pt": ("{topic}: o que vale saber", "Um olhar: {topic}"),
    "pl": ("{topic}: co warto wiedzieć", "Z bliska: {topic}"),
    "ja": ("{topic}を知る", "{topic}入門"),
}
"""By genre for English, else by language."""

OUTLINES: Final[Mapping[str, Sequence[str]]] = {  # opening, one for each further keyword, closing
    "how-to": (
        "What you need before you begin: {topic}",
        "Step: {keyword}",
        "When it goes wrong, and what helps",
    ),
    "story": ("Where it begins: {topic}", "A turn: {keyword}", "What stays"),
    "opinion": ("The claim: {topic}", "An argument: {keyword}", "What speaks against it"),
    "interview": ("Who we meet, and why: {topic}", "We ask about {keyword}", "A last question"),
    "en": ("Why it matters: {topic}", "A closer look: {keyword}", "What to take away"),
    "de": ("Worum es geht: {topic}", "Genauer betrachtet: {keyword}", "Was bleibt"),
    "fr": ("De quoi il s’agit : {topic}", "De plus près : {keyword}", "Ce qu’il faut retenir"),
    "es": ("De qué se trata: {topic}", "Más de cerca: {keyword}", "Lo que queda"),
    "it": ("Di che cosa si tratta: {topic}", "Più da vicino: {keyword}", "Che cosa resta"),
    "pt": ("Do que se trata: {topic}", "Mais de perto: {keyword}", "O que fica"),
    "pl": ("O co chodzi: {topic}", "Z bliska: {keyword}", "Co zostaje"),
    "ja": ("はじめに:{topic}", "詳しく見る:{keyword}", "まとめ"),
}
"""By genre for English where there is one, else by language."""


class ServiceBusy(ConnectionError):
    """The failure that this pipeline plays: the service did not answer this time; another attempt may help."""


@dataclass(frozen=True)
class Phrasebook:
    """The templates of titles and outlines, by genre or language."""

    titles: Mapping[str, Sequence[str]]
    outlines: Mapping[str, Sequence[str]]

    @classmethod
    def load(cls, path: str | None = None) -> Phrasebook:
        """The built-in templates, and over them those of a JSON file ``{"titles": {…}, "outlines": {…}}``."""
        own = json.loads(Path(path).read_text(encoding="utf-8")) if path else {}
        return cls({**TITLES, **own.get("titles", {})}, {**OUTLINES, **own.get("outlines", {})})


BUILT_IN: Final = Phrasebook.load()


async def make_title(item: Mapping[str, Any], ctx: Context) -> dict[str, Any]:
    """The handler: an idea's title, outline and keywords, after the delay that a real service would have."""
    item_id = str(item.get("id", ctx.item_id))
    await asyncio.sleep(_latency(item_id, ctx.attempt))
    _may_fail(item_id, ctx.attempt)
    ctx.log.debug("answered on attempt %d", ctx.attempt)
    return compose(item, ctx.resource or BUILT_IN)


def make_title_sync(item: Mapping[str, Any]) -> dict[str, Any]:
    """The same without async and context.

    It cannot see which attempt this is: an idea that fails once fails each time.
    """
    item_id = str(item.get("id", ""))
    time.sleep(_latency(item_id, attempt=1))
    _may_fail(item_id, attempt=1)
    return compose(item, BUILT_IN)


@contextlib.asynccontextmanager
async def phrasebook() -> AsyncIterator[Phrasebook]:
    """For ``--setup``: loads the templates once in each worker, where `make_title` finds them as ``ctx.resource``."""
    yield Phrasebook.load(os.environ.get("PIPELINE_PHRASEBOOK"))


def compose(item: Mapping[str, Any], phrases: Phrasebook) -> dict[str, Any]:
    """Keywords, title and outline of an idea; no delay, no failure.

    Raises:
        ValueError: the idea has no text.
    """
    text = str(item.get("text", "")).strip()
    if not text:
        raise ValueError("an idea without a text has no title")
    metadata: Mapping[str, Any] = item.get("metadata") or {}
    language = str(metadata.get("language") or item.get("language") or "en")
    genre = str(item.get("genre", "explainer"))
    tags = metadata.get("tags") or str(item.get("tags", "")).split("|")
    keywords = find_keywords(text, language, tags)
    topic, *further = keywords
    titles = _templates(phrases.titles, genre, language, fallback="explainer")
    title = titles[int(_dice(str(item.get("id", text)), "title") * len(titles))]
    opening, middle, closing = _templates(phrases.outlines, genre, language, fallback="en")
    points = [middle.format(keyword=keyword) for keyword in further[:MAX_MIDDLE] or [topic]]
    return {
        "id": item.get("id"),
        "title": _capital(title.format(topic=topic, audience=item.get("audience", "everyone"))),
        "outline": [_capital(point) for point in (opening.format(topic=topic), *points, closing)],
        "keywords": keywords,
        "metadata": dict(metadata),
    }


def find_keywords(text: str, language: str = "en", tags: Sequence[str] = ()) -> list[str]:
    """The best keywords of a text, the best first; never empty for a text with a letter or digit in it.

    RAKE (Rose and others, 2010): candidates are the runs of words between stop words and punctuation; a word's
    score is its degree (words that it stands beside, itself included) over its frequency, a candidate's the sum.
    A word that the author chose as a tag counts `TAG_BONUS` more.

    Example:
        >>> find_keywords("Why spring tides have nothing to do with the moon")
        ['spring tides', 'moon']
    """
    candidates = _candidates(text, language)
    frequency: dict[str, int] = {}
    degree: dict[str, int] = {}
    for phrase in candidates:
        for word in phrase:
            key = word.casefold()
            frequency[key] = frequency.get(key, 0) + 1
            degree[key] = degree.get(key, 0) + len(phrase)
    chosen = {word.casefold() for tag in tags for word in WORD.findall(tag)}
    scores: dict[str, float] = {}
    for phrase in candidates:
        score = sum(degree[word.casefold()] / frequency[word.casefold()] for word in phrase)
        bonus = TAG_BONUS * len(chosen.intersection(word.casefold() for word in phrase))
        scores.setdefault(" ".join(phrase), score + bonus)
    ranked = sorted(scores, key=lambda phrase: -scores[phrase])  # stable: what stands first wins a tie
    return ranked[:MAX_KEYWORDS] or [text]


def _candidates(text: str, language: str) -> list[list[str]]:
    if language == "ja":
        return [[run] for run in JAPANESE_RUN.findall(text)]
    if language in {"fr", "it"}:
        text = ELISION.sub(". ", text)
    stop_words = STOP_WORDS.get(language, STOP_WORDS["en"])
    phrases: list[list[str]] = [[]]
    end = 0
    for match in WORD.finditer(text):
        word, gap = match.group(), text[end : match.start()]
        end = match.end()
        if gap.strip() or len(phrases[-1]) == MAX_PHRASE:
            phrases.append([])
        if word.casefold() in stop_words or len(word) < 2:
            phrases.append([])
        else:
            phrases[-1].append(word)
    return [phrase for phrase in phrases if phrase]


def _templates(book: Mapping[str, Sequence[str]], genre: str, language: str, fallback: str) -> Sequence[str]:
    keys = (language, fallback) if language != "en" else (genre, fallback)
    return next(book[key] for key in keys if key in book)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:] if text[1:2].islower() else text  # mRNA stays


def _latency(item_id: str, attempt: int) -> float:
    stalls = _dice(item_id, f"stall {attempt}") < _setting("PIPELINE_STALL", 0)
    return _setting("PIPELINE_DELAY", 0.2) + (_setting("PIPELINE_STALL_SECONDS", 30) if stalls else 0)


def _may_fail(item_id: str, attempt: int) -> None:
    if _dice(item_id, f"fail {attempt}") < _setting("PIPELINE_FAIL", 0):
        raise ServiceBusy(f"the title service did not answer (attempt {attempt})")


def _setting(name: str, default: float) -> float:
    return float(os.environ.get(name, default))


def _dice(item_id: str, purpose: str) -> float:
    """A number from 0 to below 1 that always is the same for the same arguments."""
    digest = hashlib.blake2b(f"{item_id}/{purpose}".encode(), digest_size=6).digest()
    return int.from_bytes(digest, "big") / 2**48
