"""litmus, all suites, through the portal over TLS as alice; then two people contend for locks on a shared file."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from lab.accounts import PROJ_GID

from tests.acceptance.lab_of import Lab
from tests.acceptance.site_of import PasswordSite, password_of

_SUITES = ("basic", "copymove", "props", "locks", "http")
_SUMMARY = re.compile(r"summary for `(\w+)': of (\d+) tests run: (\d+) passed, (\d+) failed")
_LOCK = (
    '<?xml version="1.0"?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:{scope}/></D:lockscope>'
    "<D:locktype><D:write/></D:locktype><D:owner>{owner}</D:owner></D:lockinfo>"
)


def run(lab: Lab) -> None:
    """See the module's first line."""
    site = PasswordSite(lab)
    _litmus(lab, site)
    _contend(lab, site)


def _litmus(lab: Lab, site: PasswordSite) -> None:
    work = lab.folder / "litmus"
    work.mkdir()
    argv = ["litmus", "--keep-going", f"{site.dav}/~/", "alice", password_of("alice")]
    environment = {**os.environ, "TESTS": " ".join(_SUITES)}
    done = subprocess.run(argv, cwd=work, env=environment, capture_output=True, text=True)
    found = {name: (int(ran), int(passed), int(failed)) for name, ran, passed, failed in _SUMMARY.findall(done.stdout)}
    for name in _SUITES:
        ran, passed, failed = found.get(name, (0, 0, 1))
        if failed or not ran or passed != ran:
            lab.saw("\n".join(line for line in done.stdout.splitlines() if "pass" not in line))
        lab.holds(ran and passed == ran and not failed, f"{name}: {passed} of {ran} tests passed")
    warnings = done.stdout.count("WARNING")
    lab.saw(f"{warnings} warnings")


def _contend(lab: Lab, site: PasswordSite) -> None:
    folder = Path("/tmp") / f"supercloud-acceptance-{os.getpid()}"
    folder.mkdir()
    lab.at_end(lambda: subprocess.run(["rm", "-rf", str(folder)], check=True))
    os.chown(folder, 0, PROJ_GID)
    folder.chmod(0o2770)
    url = f"{site.dav}{folder}/shared.txt"
    alice, bob = site.of("alice"), site.of("bob")

    def lock(curl: object, owner: str, scope: str = "exclusive", depth: str = "0") -> tuple[int, str]:
        said = _LOCK.format(scope=scope, owner=owner)
        answer = curl(url, "--request", "LOCK", "-H", f"Depth: {depth}", data=said.encode(), follow=False)  # type: ignore[operator]
        return answer.status, (answer.field("Lock-Token") or "").strip("<>")

    lab.holds(alice(url, "--request", "PUT", data=b"one", follow=False).status == 201, "alice writes a file for both")
    (folder / "shared.txt").chmod(0o664)
    status, token = lock(alice, "alice")
    lab.holds(status == 200 and token, "alice locks it")
    lab.holds(lock(bob, "bob")[0] == 423, "bob cannot lock it")
    lab.holds(bob(url, "--request", "PUT", data=b"his", follow=False).status == 423, "nor write it")
    lab.holds(
        bob(url, "--request", "PUT", "-H", f"If: (<{token}>)", data=b"his", follow=False).status in (412, 423),
        "not even with her token",
    )
    lab.holds(bob(url, "--request", "DELETE", follow=False).status == 423, "nor remove it")
    site.portal.stop()
    site.begin()
    lab.saw("the portal is restarted")
    lab.holds(bob(url, "--request", "PUT", data=b"his", follow=False).status == 423, "her lock still binds him")
    written = alice(url, "--request", "PUT", "-H", f"If: (<{token}>)", data=b"two", follow=False)
    lab.holds(written.status == 204, "she writes with her token")
    lab.holds(bob(url, "--request", "PUT", data=b"his", follow=False).status == 423, "and the new file is locked, too")
    unlocked = alice(url, "--request", "UNLOCK", "-H", f"Lock-Token: <{token}>", follow=False)
    lab.holds(unlocked.status == 204, "she unlocks it")
    lab.holds(bob(url, "--request", "PUT", data=b"his", follow=False).status == 204, "bob writes it")
    first, second = lock(alice, "alice", "shared"), lock(bob, "bob", "shared")
    lab.holds((first[0], second[0]) == (200, 200), "both hold a shared lock")
    lab.holds(lock(bob, "bob")[0] == 423, "and nobody an exclusive one")
    carol = site.of("carol")
    lab.holds(carol(url, follow=False).status in (403, 404), "carol, who is not of their group, sees nothing")
