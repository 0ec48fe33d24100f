"""Puts ``tests/support`` on the path of tests and of the processes that they start; keeps the user's folders out."""

import atexit
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings

SUPPORT = str(Path(__file__).parent / "support")
sys.path.insert(0, SUPPORT)
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [SUPPORT, os.environ.get("PYTHONPATH")]))

# A suite that is started in the background inherits that Ctrl-C is ignored, and one under nohup that the terminal's
# end is; both would hand that on, which they do not with what they have caught.
signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)

# How long an example takes says nothing where the machine may stop for seconds.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

FOLDER = tempfile.mkdtemp(prefix="batchq-tests-")
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
os.environ["XDG_CONFIG_HOME"] = os.path.join(FOLDER, "config")
os.environ["BATCHQ_HOME"] = os.path.join(FOLDER, "home")
