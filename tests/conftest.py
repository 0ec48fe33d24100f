"""Puts ``tests/support`` on the path of tests and of the processes that they start."""

import os
import sys
from pathlib import Path

SUPPORT = str(Path(__file__).parent / "support")
sys.path.insert(0, SUPPORT)
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [SUPPORT, os.environ.get("PYTHONPATH")]))
