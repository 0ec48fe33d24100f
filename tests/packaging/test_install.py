"""What is built and installed works far from the checkout, and a file of an earlier release still does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
from waiting import wait_until

TOP = Path(__file__).parents[2]
FIXTURES = TOP / "tests" / "fixtures"
JOB = """
import os, time

def double(item):
    time.sleep(0.02)
    while item["n"] > 100 and not os.path.exists(os.environ["GATE"]):
        time.sleep(0.02)
    return item["n"] * 2
"""


@pytest.mark.slow
def test_wheel_alone_starts_is_killed_and_resumes_from_another_folder(tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(TOP, source, ignore=shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist"))
    build = [sys.executable, "-m", "build", "--no-isolation", "-o", str(tmp_path / "dist"), str(source)]
    subprocess.run(build, check=True, timeout=300)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    (sdist,) = (tmp_path / "dist").glob("*.tar.gz")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"batchq/py.typed", "batchq/store/schema.sql", "batchq/store/statements.sql"} <= set(names)
    assert {"batchq/app/report.css", "batchq/app/report.schema.json", "batchq/server/api/descriptions/api.json"} <= set(
        names
    )
    static = TOP / "batchq" / "server" / "static"
    pages = {f"batchq/server/static/{path.relative_to(static)}" for path in static.rglob("*") if path.is_file()}
    assert {f"batchq/server/static/{name}" for name in ("index.html", "js/app.js", "vendor/uplot/LICENSE")} <= pages
    assert pages <= set(names)
    with tarfile.open(sdist) as archive:
        assert any(name.endswith("/LICENSE") for name in archive.getnames())

    venv.create(tmp_path / "venv")
    pip = [sys.executable, "-m", "pip", "--python", str(tmp_path / "venv/bin/python"), "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "-q", str(wheel)], check=True, timeout=300)
    batchq = str(tmp_path / "venv/bin/batchq")
    work, elsewhere = tmp_path / "work", tmp_path / "elsewhere"
    work.mkdir()
    elsewhere.mkdir()
    (work / "job.py").write_text(JOB)
    (work / "input.jsonl").write_text("".join(f'{{"n": {n}}}\n' for n in range(1, 201)))
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment["BATCHQ_HOME"] = str(tmp_path / "home")
    environment["GATE"] = str(tmp_path / "gate")

    def status() -> dict[str, object]:
        said = subprocess.run([batchq, "status", "b1", "--json"], env=environment, capture_output=True, text=True)
        return dict(json.loads(said.stdout)) if said.returncode == 0 else {}

    command = [batchq, "start", "input.jsonl", "--func", "job:double", "--id", "b1", "-q"]
    with subprocess.Popen(command, cwd=work, env=environment) as process:
        try:
            wait_until(lambda: int(str(status().get("success_count", 0))) > 20)
        finally:
            process.kill()
    assert status()["state"] == "interrupted"
    (tmp_path / "gate").touch()
    subprocess.run([batchq, "resume", "b1", "-q"], cwd=elsewhere, env=environment, check=True, timeout=120)
    rows = subprocess.run([batchq, "results", "b1"], env=environment, capture_output=True, text=True, check=True)
    assert [json.loads(line)["result"] for line in rows.stdout.splitlines()] == [2 * n for n in range(1, 201)]


@pytest.mark.parametrize("release", sorted(path.name for path in FIXTURES.iterdir()))
def test_batch_of_an_earlier_release_opens_resumes_and_reports(tmp_path: Path, release: str) -> None:
    home = tmp_path / "home"
    shutil.copytree(FIXTURES / release, home)
    # The handler lay in a folder of another machine; its place is taken by the one beside the fixture's data.
    environment = {**os.environ, "BATCHQ_HOME": str(home), "PYTHONPATH": str(home)}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "batchq", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)

    before = json.loads(run("status", "old", "--json").stdout)
    assert (before["state"], before["success_count"], before["failure_count"]) == ("interrupted", 7, 1)
    refused = run("resume", "old", "--json")
    assert (refused.returncode, "--func" in refused.stderr) == (2, True), "what it runs was stored by somebody else"
    resumed = run("resume", "old", "--json", "--func", "fixture_job:work")
    assert resumed.returncode == 1, resumed.stderr
    report = json.loads(resumed.stdout)
    assert (report["total_items"], report["success_count"], report["failure_count"]) == (20, 19, 1)
    rows = [json.loads(line) for line in run("results", "old").stdout.splitlines()]
    assert [row["seq"] for row in rows] == list(range(1, 21))
