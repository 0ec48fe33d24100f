"""`start --strict`: the first record that cannot be read halts the batch, which goes on when that is mended."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import ledger
import pytest
from command import Bench

from batchq.engine.strict import UpToUnreadable, digest_at
from batchq.inputs import describe, open_reader
from batchq.model import Position, Record
from batchq.store.reading import ReportReader

HANDLER = "import ledger\ndef run(item):\n    ledger.note('end', item)\n    return {'v': float('nan')}\n"


def write(bench: Bench, name: str, *lines: str) -> None:
    """25 records, of which these lines take the places 21 and 24."""
    records = [f'{{"n": {n}}}' for n in range(1, 26)]
    records[20], records[23] = lines
    (bench.folder / name).write_text("\n".join(records) + "\n")


def test_batch_halts_with_the_reason_and_goes_on_when_the_record_is_mended(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    (tmp_path / "handler.py").write_text(HANDLER)
    write(bench, "input.jsonl", '{"n": 21, oops}', '{"n": 24, oops}')
    target = ("--func", "handler.py:run", "--id", "b1")
    begun = bench.run("start", "input.jsonl", *target, "--strict", "--nan", "null", "-q")
    assert begun.returncode == 3
    assert "b1 is failed: input.jsonl, line 21, column 11: not JSON" in begun.stderr
    assert f"batchq resume b1 --no-strict --home {bench.home}" in begun.stderr
    assert (bench.stored(), bench.broken_invariants()) == (20, [])

    write(bench, "input.jsonl", '{"n": 21}      ', '{"n": 24, oops}')
    again = bench.run("resume", "b1", "-q")
    assert again.returncode == 3, "it is as strict as it was"
    assert "input.jsonl, line 24, column 11" in again.stderr
    assert bench.stored() == 23

    lenient = bench.run("resume", "b1", "--no-strict", "-q", "--json")
    report = json.loads(lenient.stdout)
    assert (lenient.returncode, report["success_count"]) == (1, 24)
    assert [(failure["error_type"], failure["line"]) for failure in report["failures"]] == [("InvalidInput", 24)]
    assert sorted(n for _, n in ledger.read(bench.ledger)) == [*range(1, 24), 25]
    with closing(ReportReader.open(bench.database)) as reader:
        assert {row.result for row in reader.results("success")} == {'{"v": null}'}, "--nan is not forgotten either"


BROKEN = {
    "lines.jsonl": ('{"n": 1}\n{"n": 2}\n{"n": 3\n{"n": 4}\n', '{"n": 1}\n{"n": 2}\n{"n": 3}\n{"n": 4}\n'),
    "array.json": ('[{"n": 1},\n{"n": 2},\n{"n": NaN},\n{"n": 4}]', '[{"n": 1},\n{"n": 2},\n{"n": 3},\n{"n": 4}]'),
    "table.csv": ("n,v\n1,a\n2,b\n3\n4,d\n", "n,v\n1,a\n2,b\n3,c\n4,d\n"),
    "text.txt": ("1\n2\n\x00\ufffd\n4\n", "1\n2\n3\n4\n"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_each_kind_of_input_is_read_up_to_there_and_read_on_when_it_is_mended(name: str, tmp_path: Path) -> None:
    broken, mended = BROKEN[name]
    path = tmp_path / name
    path.write_bytes(broken.encode().replace("\ufffd".encode(), b"\xff"))
    source = describe(str(path))
    with closing(open_reader(source)) as reader:
        records = UpToUnreadable(iter(reader))
        before = [record for record in records if record]
    assert len(before) == 2
    assert records.why and name in records.why and (name.endswith("json") or ", line" in records.why)
    position = Position(before[-1].position, before[-1].next_line, len(before))
    digest = digest_at(source, len(before))

    path.write_text(mended)
    with closing(open_reader(describe(str(path)), position, digest)) as reader:
        after: list[Record] = list(reader)
    assert [record.error for record in after] == [None, None]
    assert [str(n) in record.payload for n, record in enumerate(after, 3)] == [True, True]
