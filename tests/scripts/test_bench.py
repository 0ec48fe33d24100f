"""scripts/bench at a tiny scale: its cases, what it writes, and the guard against what got slower."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree as ET

import bench
import pytest
from benchmarks import chart, compare, report
from benchmarks.cases import EVERY
from benchmarks.measure import Bench
from benchmarks.peers import timing
from benchmarks.peers.environment import REQUIREMENTS, Environment
from benchmarks.peers.roster import PEERS, Peer
from benchmarks.rows import Missing, Racer, Rate, Row, Target, pairs, race

SCRIPTS: Final = Path(bench.__file__).parent
ITEMS: Final = 100
SCALE: Final = 0.001


def figures(path: Path, measured: float, scale: float = SCALE) -> Path:
    row = {"key": "retry/floor", "measured": measured, "guard": True}
    other = {"key": "retry/by-hand", "measured": 1e9, "guard": False}
    path.write_text(json.dumps({"schema": report.SCHEMA, "scale": scale, "rows": [row, other]}), encoding="utf-8")
    return path


def guarded(measured: float, target: Target | None = None) -> Row:
    return Row("a/b", "a over b", measured, "x", target, measured, measured, guard=True)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """One case, which runs batchq, the pattern written by hand and the floor."""
    folder = tmp_path_factory.mktemp("bench")
    measure = ["--only", "retry", "--scale", str(SCALE), "--runs", "1"]
    write = ["--json", "run.json", "--markdown", "run.md", "--chart", "run.svg"]
    before = str(figures(folder / "before.json", measured=1000.0))
    done = subprocess.run(
        [sys.executable, str(SCRIPTS / "bench.py"), *measure, *write, "--compare", before],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done, folder


def test_case_is_measured_and_its_figures_stand_in_the_table_and_in_the_files(
    ran: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    done, folder = ran
    found: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    rates = {rate["kind"]: rate for rate in found["rates"]}
    assert rates.keys() == {"batchq", "memory", "limit"}, done.stderr
    assert {rate["items"] for rate in rates.values()} == {ITEMS}
    assert {rate["workload"] for rate in rates.values()} == {"no-op, 20% fail 2 times"}
    by_key = {row["key"]: row for row in found["rows"]}
    quotient = rates["batchq"]["median"] / rates["limit"]["median"]
    assert by_key["retry/floor"]["measured"] == pytest.approx(quotient)
    assert by_key["retry/floor"]["guard"] and not by_key["retry/by-hand"]["guard"]
    assert found["versions"]["SQLite"] and found["machine"]["cores"]
    for text in (done.stdout, (folder / "run.md").read_text(encoding="utf-8")):
        assert "100 items, no-op, 20% fail 2 times, -c 100: items/s / floor" in text
        assert "NOT THE FULL BENCH" in text
    ET.parse(folder / "run.svg")


def test_figure_that_got_slower_than_the_release_is_named_and_the_exit_code_tells(
    ran: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    done, _ = ran
    assert done.returncode == 1
    assert "of 1 figures compared with" in done.stdout
    assert "slower: retry/floor, 1e+03 then" in done.stdout


def test_noise_is_tolerated_and_a_loss_is_not_whichever_way_the_figure_counts() -> None:
    more_is_better, less_is_better = Target(">=", 1.0), Target("<=", 4.0)
    cases = [(0.9, None, True), (0.8, more_is_better, False), (1.1, less_is_better, True), (1.2, less_is_better, False)]
    for measured, target, well in cases:
        found = compare.changes([guarded(measured, target)], {"a/b": 1.0, "of a case that was not run": 1.0})
        assert compare.verdict(found, Path("before.json"))[1] is well, (measured, target)


def test_guard_that_has_nothing_to_compare_does_not_say_that_all_is_well() -> None:
    assert compare.verdict(compare.changes([guarded(1.0)], {}), Path("before.json"))[1] is False


def test_figure_that_only_one_of_the_runs_has_is_named() -> None:
    before = {"a/b": 1.0, "a/gone": 1.0, "of a case/that was not run": 1.0}
    assert compare.left_out([guarded(1.0)], before, ["a"]) == "not compared: a/gone (not measured now)"
    assert compare.left_out([guarded(1.0)], {}, ["a"]) == "not compared: a/b (not in that file)"


def test_file_that_cannot_be_written_is_refused_before_anything_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        bench.main(["--json", "no/such/folder/run.json"])
    assert "run.json cannot be written" in capsys.readouterr().err


def test_figures_of_another_scale_are_refused_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = figures(tmp_path / "before.json", 1.0, scale=1.0)
    assert bench.main(["--quick", "--compare", str(before)]) == 2
    assert "was measured at scale 1" in capsys.readouterr().err
    assert bench.main(["--compare", str(tmp_path / "none.json")]) == 2
    assert "No such file" in capsys.readouterr().err


def test_help_tells_what_each_case_measures(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        bench.main(["--help"])
    said = capsys.readouterr().out
    for name, case in EVERY.items():
        assert f"  {name:<12} {(case.__doc__ or '').splitlines()[0]}" in said
    with pytest.raises(SystemExit, match="2"):
        bench.main(["--only", "rate,nothing"])
    assert "choose from rate,wait," in capsys.readouterr().err


def test_sides_take_turns_and_the_median_of_their_pairs_counts() -> None:
    order: list[str] = []
    seconds = {"a": iter([1.0, 4.0, 2.0]), "b": iter([2.0, 4.0, 8.0])}

    def racer(name: str) -> Racer:
        def run() -> float:
            order.append(name)
            return next(seconds[name])

        return Racer(name, "peer", 8, run)

    a, b = race(3, "work", [racer("a"), racer("b")])
    assert order == ["a", "b"] * 3
    assert (a.median, b.median) == (4.0, 2.0)
    row = pairs("a/b", "a / b", a.runs, b.runs, Target(">=", 2.5))
    assert (row.measured, row.low, row.high, row.verdict) == (2.0, 1.0, 4.0, "MISSED")


def test_chart_has_the_fastest_at_the_top_and_ten_times_as_fast_is_no_ten_times_as_long() -> None:
    drawn = chart.draw([Rate("work", name, "peer", 1, [rate]) for name, rate in (("a<b", 10.0), ("c", 100.0))], "work")
    bars = [float(bar.get("width", 0)) for bar in ET.fromstring(drawn).iter("{http://www.w3.org/2000/svg}rect")]
    assert bars == sorted(bars, reverse=True) and bars[0] < 10 * bars[1]
    assert drawn.index(">c<") < drawn.index(">a&lt;b<")


def test_peer_that_is_not_on_this_machine_is_named_with_the_reason() -> None:
    environment = Environment(Path(sys.executable), {}, {"no-such-tool==1": "pip: none found"})
    program = Peer("none", "None", "", "no-such-program", debian="none-such")
    assert environment.lacking(program) == "no-such-program is not on this machine (Debian: apt-get install none-such)"
    assert environment.lacking(Peer("none", "None", "no-such-tool")) == "pip: none found"
    made = report.conditions(1.0, 5, None)
    assert "None" in report.text([Missing("None", "pip: none found")], made)


def test_peer_that_does_not_work_keeps_nothing_else_from_being_measured(tmp_path: Path) -> None:
    installed = {peer.package: "1" for peer in PEERS}
    found = list(timing.racers(Bench(tmp_path, peers=Environment(Path("/bin/false"), installed)), "noop", 2))
    assert [each.name for each in found if isinstance(each, Missing)] == [peer.title for peer in PEERS]
    assert "it does not work here" in str(found[0])


def test_every_peer_has_its_script_and_a_pinned_version() -> None:
    pinned = [line.partition("==") for line in REQUIREMENTS.read_text(encoding="utf-8").split()]
    assert all(version for _, _, version in pinned)
    names = {name.partition("[")[0] for name, _, _ in pinned}
    for peer in PEERS:
        assert (SCRIPTS / "benchmarks" / "peers" / f"{peer.name}.py").is_file()
        assert not peer.package or peer.package in names
