"""Calls of a server made up from its own description, right ones and wrong ones, and their answers held against it."""

from __future__ import annotations

import contextlib
import random
import time
from collections import Counter
from collections.abc import Collection
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import (
    content_type_conformance,
    not_a_server_error,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.generation import GenerationMode
from served import Served

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
ENDLESS = ("/events",)
ELSEWHERE = ("/login", "/logout")
"""Paths that count wrong guesses, and would lock the fuzzer out."""

NAMES = ("x.csv", "x.tsv", "x.jsonl", "x.json", "x.txt", "x.csv.gz", "x.jsonl.bz2", "x.txt.zst", "x.parquet", "x.arrow")


class Fuzzer:
    """Makes calls up.

    Args:
        server: is called; all its batches may be deleted.
        target: a handler that it allows.
        first: the seed.

    Attributes:
        answers: how many calls were answered with which status.
    """

    def __init__(self, server: Served, target: str, first: int) -> None:
        self.answers: Counter[int] = Counter()
        self.slowest = 0.0
        self._server = server
        self._target = target
        self._seed = first
        self._random = random.Random(first)
        document = server.client.get("/api/v1/openapi.json").json()
        schema = schemathesis.openapi.from_dict(document)
        schema.validate()
        found = [each.ok() for each in schema.get_all_operations()]
        mine = [each for each in found if not each.path.endswith(ENDLESS) and each.path not in ELSEWHERE]
        self.operations = sorted(mine, key=lambda each: each.method == "delete")  # so that the others find batches

    def run(self, operation: Any, examples: int, ids: Collection[str]) -> None:
        """So many right and as many wrong calls of one operation, of batches of these ids; raises at a wrong answer."""
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            strategy = operation.as_strategy(generation_mode=mode)

            @seed(self._seed)
            @settings(
                max_examples=examples,
                database=None,
                deadline=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
                verbosity=Verbosity.quiet,
            )
            @given(case=strategy)
            def call(case: Any) -> None:
                self._call(case, sorted(ids))

            with contextlib.suppress(Unsatisfiable):  # nothing can be wrong with a call that takes nothing
                call()

    def _call(self, case: Any, ids: list[str]) -> None:
        """One call; most of them about a batch that is there, and a function that is allowed: else all were refused."""
        often = self._random.random() < 0.8
        if often and "batch_id" in (case.path_parameters or {}) and ids:
            case.path_parameters["batch_id"] = self._random.choice(ids)
        if often and "item" in (case.path_parameters or {}):
            case.path_parameters["item"] = self._random.choice(("item-1", "#2"))
        if often and case.operation.path.endswith(("/upload", "/preview")) and isinstance(case.query, dict):
            case.query["name"] = self._random.choice(NAMES)
            case.query.pop("input_format", None)
            if "func" in case.query:
                case.query["func"] = self._target
                case.query.pop("setup", None)
        if often and isinstance(case.body, dict) and "func" in case.body:
            case.body["func"] = self._target
            case.body.pop("setup", None)
        began = time.monotonic()
        response = case.call(
            base_url=self._server.url, headers={"Authorization": f"Bearer {self._server.token}"}, timeout=60
        )
        self.slowest = max(self.slowest, time.monotonic() - began)
        self.answers[response.status_code] += 1
        case.validate_response(response, checks=CHECKS)
