"""The monitor with shorter deadlines, another zygote and another /etc/nologin: a program.

``python monitor.py SURROUNDINGSJSON FD TASKJSON``
"""

from __future__ import annotations

import sys

import msgspec

from supercloud.monitor.__main__ import Surroundings, main

if __name__ == "__main__":
    sys.exit(main(sys.argv[2:], msgspec.json.decode(sys.argv[1], type=Surroundings)))
