"""Run them, say what was seen; exit status 0 only if all held.

As root everything runs in namespaces of its own, with a copy of /etc and an empty /run: several can run at once,
accounts and addresses are made for this run alone, and nothing is left when it is ended. Nothing but this machine's
loopback can be reached, and Chromium does not see the interfaces of others come and go (it gives up whatever it is
loading then).
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]
NAMES = (
    *("jupyterlab", "takeover", "isolation", "hostile-forward", "paths", "spice", "websocket-table", "planted-cookies"),
    *("sign-in", "impersonation", "litmus", "mounts", "transfers", "desktops", "crashes", "files-page"),
    *("forward-scripts", "revocation", "launch", "drop-box", "idle", "make-run", "pages", "openapi"),
    *("applications", "four-nodes", "hostile"),
)
_INSIDE = "SUPERCLOUD_ACCEPTANCE_INSIDE"
# Chromium takes a host with loopback alone for one that is offline; a pair of cable ends is enough. An IPv6 address
# that they get a second later would be a change of the network, which ends what it is loading.
# Accounts that other runs have made now have homes that are theirs. The shell stays, as whatever loses its parent here
# becomes a child of it, which it buries.
_ENTER = """
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/netns /run/lock /run/etc
cp -a /etc/. /run/etc
mount --bind /run/etc /etc
echo 127.0.0.1 apps.localhost >> /etc/hosts
for name in $(awk -F: '$5 == "supercloud-tests" { print $1 }' /etc/passwd); do userdel -f "$name"; done
ip link set lo up
ip link add acc0 type veth peer name acc1
ip link set acc0 addrgenmode none
ip link set acc1 addrgenmode none
ip address add 192.0.2.1/24 dev acc0
ip link set acc0 up
ip link set acc1 up
"$@"
"""


def main() -> int:
    """Run the names that were asked for."""
    sys.path.insert(0, str(ROOT / "tests" / "integration"))
    from tests.acceptance.browsers import KINDS

    parser = argparse.ArgumentParser(prog="python -m tests.acceptance", description=__doc__)
    parser.add_argument("--list", action="store_true", help="say the names, and what each shows")
    parser.add_argument("--only", metavar="NAME", action="append", choices=NAMES, help="this one; several allowed")
    parser.add_argument("--browser", choices=KINDS, default="chromium", help="in which; most know Chromium only")
    options = parser.parse_args()
    modules = {name: _module(name) for name in NAMES}
    if options.list:
        for name, module in modules.items():
            print(f"{name:16} {(module.__doc__ or '').splitlines()[0]}")
        return 0
    able = [name for name in NAMES if options.browser in getattr(modules[name], "BROWSERS", ("chromium",))]
    wanted = options.only or able
    if unable := set(wanted) - set(able):
        parser.error(f"not in {options.browser}: {', '.join(sorted(unable))}")
    if os.geteuid() == 0 and _INSIDE not in os.environ:
        for name in wanted:
            if hasattr(modules[name], "prepare"):
                modules[name].prepare()
        again = [sys.executable, "-m", "tests.acceptance", *sys.argv[1:]]
        own = ["--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--mount-proc", "--kill-child"]
        inside = ["unshare", *own, "--", "sh", "-ec", _ENTER, "sh", *again]
        return subprocess.run(inside, env={**os.environ, _INSIDE: "1"}, cwd=ROOT).returncode
    return _run({name: modules[name] for name in wanted}, options.browser)


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"tests.acceptance.{name.replace('-', '_')}")


def _run(modules: dict[str, ModuleType], browser: str) -> int:
    from tests.acceptance.lab_of import Lab

    # A shell's jobs in the background ignore it, and so would all that is started here, and stopped as by Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    outcomes = {}
    for name, module in modules.items():
        print(f"== {name} ({browser}): {(module.__doc__ or '').splitlines()[0]}", flush=True)
        begin = time.monotonic()
        try:
            with Lab(name, browser) as lab:
                module.run(lab)
        except Exception:
            traceback.print_exc()
            outcomes[name] = "DID NOT HOLD"
        else:
            outcomes[name] = "held"
        print(f"== {name}: {outcomes[name]} ({time.monotonic() - begin:.0f} s)\n", flush=True)
    print("\n".join(f"{name:16} {outcome}" for name, outcome in outcomes.items()))
    return 0 if set(outcomes.values()) == {"held"} else 1


sys.exit(main())
