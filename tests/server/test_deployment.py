"""The units, the Dockerfile and the proxy of the README are what they claim to be."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

import pytest
from served import Served

from batchq.cli.console import run_command
from batchq.cli.run import cli

pytestmark = pytest.mark.slow

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def served_with(line: str) -> list[str]:
    """The arguments of the `batchq serve` in a line."""
    words = shlex.split(line)
    return words[words.index("serve") :]


def is_understood(arguments: list[str], folder: Path) -> bool:
    """Whether batchq knows these options; their folders are made up."""
    made = [str(folder) if word.startswith(("%h", "/srv", "/var")) else word for word in arguments]
    told = StringIO()
    with redirect_stderr(told):
        code = run_command(cli, [*made, "--link"])
    return code == 2 and "no server runs" in told.getvalue()


@pytest.mark.parametrize("number, manager", [(0, "--user"), (1, "--system")])
def test_unit_is_one_that_systemd_takes_and_that_lets_batches_outlive_it(
    number: int, manager: str, tmp_path: Path
) -> None:
    unit = blocks("ini")[number]
    assert re.findall(r"^KillMode=(.*)$", unit, re.MULTILINE) == ["process"]
    start = re.findall(r"^ExecStart=(\S+) (.*)$", unit, re.MULTILINE)
    assert len(start) == 1 and is_understood(served_with(start[0][1]), tmp_path)
    if shutil.which("systemd-analyze") is None:
        pytest.skip("SKIPPED: this machine has no systemd-analyze")
    path = tmp_path / "batchq.service"
    path.write_text(unit.replace(start[0][0], sys.executable))
    done = subprocess.run(
        ["systemd-analyze", manager, "verify", "--man=no", str(path)],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path)},
    )
    told = [line for line in done.stderr.splitlines() if "batchq" in line]
    assert (done.returncode, told) == (0, [])


def instructions(dockerfile: str) -> list[tuple[str, str]]:
    whole = dockerfile.replace("\\\n", " ")
    return [(line.split()[0], line.partition(" ")[2].strip()) for line in whole.splitlines() if line.strip()]


def test_dockerfile_runs_batchq_as_process_1_and_asks_whether_it_is_ready(server: Served, tmp_path: Path) -> None:
    (dockerfile,) = blocks("dockerfile")
    found = instructions(dockerfile)
    known = {"FROM", "RUN", "COPY", "WORKDIR", "USER", "ENV", "VOLUME", "EXPOSE", "HEALTHCHECK", "CMD"}
    assert {name for name, _ in found} == known
    by_name = dict(found)
    command = json.loads(by_name["CMD"])  # a list: no shell stands between the signals and batchq
    assert command[:2] == ["batchq", "serve"] and "--stop-batches" in command
    assert is_understood(command[1:], tmp_path)
    assert dict(word.split("=") for word in by_name["ENV"].split())["BATCHQ_HOME"] == by_name["VOLUME"]
    assert subprocess.run(["sh", "-n", "-c", by_name["RUN"]]).returncode == 0
    asked = json.loads(by_name["HEALTHCHECK"].partition("CMD ")[2])
    assert "timeout=4)" in asked[-1]
    port = server.url.rpartition(":")[2]
    for there, code in ((port, 0), ("9", 1)):
        check = [word.replace("8765", there).replace("timeout=4)", "timeout=60)") for word in asked]
        assert subprocess.run([sys.executable, *check[1:]], capture_output=True).returncode == code


def test_compose_file_publishes_to_this_machine_alone_and_leaves_time_to_stop() -> None:
    (compose,) = blocks("yaml")
    assert '"127.0.0.1:8765:8765"' in compose and "stop_grace_period" in compose
    (dockerfile,) = blocks("dockerfile")
    assert f":{dict(instructions(dockerfile))['VOLUME']}" in compose


def test_proxy_passes_streams_on() -> None:
    (proxy,) = blocks("nginx")
    for line in ("proxy_buffering off;", "proxy_set_header Host $host;"):
        assert line in proxy
    assert proxy.count("{") == proxy.count("}")
