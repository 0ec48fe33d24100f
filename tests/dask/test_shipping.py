"""The function that a batch was started with is what runs elsewhere, whatever lies there."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchq.engine.dask.shipping import Shipment
from batchq.errors import TargetError
from batchq.spec import BatchSpec, SourceSpec

FILE = "def price(item):\n    return item * {}\n"


def spec_of(target: str, folder: Path) -> BatchSpec:
    return BatchSpec(target, str(folder), str(folder), "python", SourceSpec("-", "-", "jsonl"))


@pytest.mark.parametrize("form", ["{}/sent_by_path.py:price", "sent_by_name:price"])
def test_file_that_is_not_there_or_is_another_one_there_is_loaded_as_it_was_sent(tmp_path: Path, form: str) -> None:
    target = form.format(tmp_path)
    file = tmp_path / (target.rpartition(":")[0].rpartition("/")[2].removesuffix(".py") + ".py")
    file.write_text(FILE.format(2))
    spec = spec_of(target, tmp_path)
    first = Shipment.of(spec, None)
    assert first.load(spec).handler.function(5) == 10
    file.write_text(FILE.format(3))
    second = Shipment.of(spec, None)
    for _ in range(2):
        assert second.load(spec).handler.function(5) == 15, "a process that knows an older one takes what was sent"
    file.unlink()
    assert first.load(spec).handler.function(5) == 10
    assert second.load(spec).handler.function(5) == 15


def test_module_that_nobody_can_send_is_told(tmp_path: Path) -> None:
    spec = spec_of("no_such_package.part:price", tmp_path)
    with pytest.raises(TargetError, match="no module"):
        Shipment.of(spec, None).load(spec)
