"""Which records of which files `start` is asked for, checked and put into a specification."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from batchq.config import check_count
from batchq.errors import ConfigError, UsageError
from batchq.inputs import gather
from batchq.inputs.encoding import check_encoding
from batchq.inputs.where import Where
from batchq.shards import Shard
from batchq.spec import SourceSpec
from batchq.units import bytes_of

if TYPE_CHECKING:
    from batchq.app.request import StartRequest

LARGEST_ITEM: Final = 500 * 1024 * 1024
"""Bytes: SQLite stores a text of a thousand million bytes at most, and hands out several at once."""
SEEDS: Final = 2**32


def source_of(request: StartRequest) -> SourceSpec:
    """The input of a new batch.

    Raises:
        InputError: a file cannot be read, or its name tells no format.
        UsageError: an option has a value that it cannot have.
    """
    for name, number in (("--limit", request.limit), ("--sample", request.sample)):
        if number is not None:
            check_count(name, number)
    if request.skip:
        check_count("--skip", request.skip)
    try:
        check_encoding(request.encoding)
    except LookupError:
        raise ConfigError(
            "--encoding", request.encoding, "the name of an encoding, such as latin-1 or utf-16"
        ) from None
    largest = bytes_of("--max-item-size", request.max_item_size)
    if largest > LARGEST_ITEM:
        raise ConfigError("--max-item-size", request.max_item_size, "at most 500M")
    if request.where is not None:
        Where(request.where)
    names = (request.input,) if isinstance(request.input, str) else tuple(request.input)
    is_random = request.sample is not None or request.shuffle
    if request.seed is not None and not is_random:
        raise ConfigError("--seed", request.seed, "beside --sample or --shuffle: nothing else is random")
    shard = Shard.of(request.shard)
    if request.seed is None and is_random and not shard.is_whole:
        raise UsageError(
            f"--shard {shard} of a random {'--sample' if request.sample else '--shuffle'} needs --seed",
            "Say the same --seed N for every shard: else each of them draws other records.",
        )
    seed = secrets.randbelow(SEEDS) if request.seed is None and is_random else request.seed or 0
    return replace(
        gather(names, request.input_format),
        limit=request.limit,
        encoding=request.encoding,
        csv_types=request.csv_types,
        max_item_size=largest,
        id_field=request.id_field,
        select=fields_of(request.select),
        where=request.where,
        unique=request.unique,
        skip=request.skip,
        sample=request.sample,
        shuffle=request.shuffle,
        seed=seed,
        shard=None if shard.is_whole else str(shard),
    )


def fields_of(text: str) -> tuple[str, ...]:
    """The fields of a list with commas; raises `ConfigError` where one has no name.

    Example:
        >>> fields_of("id, user.name")
        ('id', 'user.name')
    """
    fields = tuple(field.strip() for field in text.split(",")) if text else ()
    if not all(fields):
        raise ConfigError("--select", text, "fields with commas between them, such as id,user.name")
    return fields
