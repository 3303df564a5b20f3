"""``twistd`` with a portal whose workers lie; see lying_worker.py."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import msgspec
from twisted.scripts.twistd import run

from supercloud import acting
from supercloud.monitor.__main__ import Surroundings
from supercloud.monitor.client import start_monitor

_HERE = Path(__file__).resolve().parent
_LIAR = (sys.executable, "-I", str(_HERE / "lying_worker.py"))
_MONITOR = _HERE.parents[1] / "fakes" / "monitor.py"
_SURROUNDINGS = msgspec.json.encode(Surroundings(zygote=_LIAR)).decode()

_command = (sys.executable, "-I", str(_MONITOR), _SURROUNDINGS)
acting.Acting.__init__.__kwdefaults__["start"] = functools.partial(start_monitor, command=_command)  # type: ignore[attr-defined]
run()
