"""scripts/simulate at a tiny scale: what workers report comes into the file, and into the figures and the picture."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import simulation
from simulation.curves import draw
from simulation.plan import Crowd, Curve, Step

SCRIPT = Path(simulation.__file__).parents[1] / "simulate.py"


def test_writer_keeps_up_with_a_small_load_and_the_file_is_whole(tmp_path: Path) -> None:
    crowd = ["--workers", "6", "--slots", "5", "--sizes", "40", "--loads", "300"]
    command = [sys.executable, str(SCRIPT), *crowd, "--seconds", "0.3", "--json", "a.json", "--chart", "a.svg"]
    for _ in range(5):  # it measures for a moment, in which the machine may be busy elsewhere
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert (done.returncode, done.stderr) == (0, "")
        (told,) = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["curves"]
        (step,) = told["steps"]
        assert f"{step['recorded']:,.0f}" in done.stdout
        if is_as_offered := 100 < step["recorded"] < 400 and step["commits"] > 0:
            break
    assert is_as_offered, step
    ET.parse(tmp_path / "a.svg")


def test_each_curve_is_named_in_the_picture_with_its_limit() -> None:
    steps = [Step(offered, min(offered, 9000.0), 100.0, 0.1, 0.2, 1.0, 0) for offered in (1000.0, 20_000.0)]
    curves = [Curve(Crowd(1000, 100, size, most), steps) for size, most in ((20, 1000), (1000, 5000))]
    picture = draw(curves)
    ET.fromstring(picture)
    assert picture.count("at most 9,000/s") == 2
    assert ">1,000 x 100, 20 B<" in picture and ">1,000 x 100, 1 kB; 5,000 uncommitted<" in picture
    assert [Curve.of(json.loads(json.dumps(curve.to_dict()))) for curve in curves] == curves


def test_what_cannot_be_is_refused_before_anything_is_measured() -> None:
    wrong = ["--slots", "5", "--json", "none/a.json"]
    done = subprocess.run([sys.executable, str(SCRIPT), *wrong], capture_output=True, text=True, timeout=300)
    assert done.returncode == 2 and "there is no folder none" in done.stderr
