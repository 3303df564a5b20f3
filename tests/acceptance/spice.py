"""spice-html5 through /fw2/ to a qemu's SPICE port: the firmware's screen is seen; another account gets nothing."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from lab.processes import PYTHON, free_port, wait_until_listening

from tests.acceptance.lab_of import Lab
from tests.acceptance.site_of import LocalSite

_HTML5 = Path("/usr/share/spice-html5")
_COLOURS = """() => Math.max(0, ...[...document.querySelectorAll('canvas')].map(canvas => {
  const {width, height} = canvas;
  if (!width || !height) return 0;
  const data = new Uint32Array(canvas.getContext('2d').getImageData(0, 0, width, height).data.buffer);
  const black = data.filter(one => (one & 0xffffff) === 0).length;
  return new Set(data).size > 1 ? data.length - black : 0;
}))"""


def run(lab: Lab) -> None:
    """See the module's first line."""
    site = LocalSite(lab, "localhost")
    web, spice = free_port(), free_port()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = [PYTHON, "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(_HTML5), str(web)]
    machine = ["qemu-system-x86_64", "-accel", "tcg", "-m", "64", "-vga", "qxl", "-display", "none", "-net", "none"]
    machine += ["-spice", f"addr=127.0.0.1,port={spice},disable-ticketing=on"]
    for argv, port in ((server, web), (machine, spice)):
        process = lab.accounts.run_as("alice", argv, **quiet)
        wait_until_listening("127.0.0.1", port, process=process, within=20)
    lab.saw("alice started a web server with Debian's spice-html5, and a qemu without a KVM")
    page_of = f"{site.together}/fw2/localhost:{web}/spice_auto.html?path=fw2/localhost:{spice}/"
    with lab.browser(site.ca) as browser:
        _see(lab, site, browser, page_of, spice)
        _see_nothing(lab, site, browser, page_of, spice)


def _see(lab: Lab, site: LocalSite, browser: Any, url: str, spice: int) -> None:
    page = site.context(browser, "alice").new_page()
    sockets: list[str] = []
    page.on("websocket", lambda socket: sockets.append(socket.url))
    page.goto(url)
    page.wait_for_selector("canvas", timeout=30_000)
    page.wait_for_function(f"({_COLOURS})() > 200", timeout=60_000)
    lab.screenshot(page, "firmware")
    lab.saw(f"the firmware's screen is seen: {page.evaluate(_COLOURS)} pixels of a canvas are not black")
    wanted = f"wss://apps.localhost:{site.port}/fw2/localhost:{spice}/"
    lab.holds(sockets == [wanted] * 4, f"four WebSockets, all to {wanted}")


def _see_nothing(lab: Lab, site: LocalSite, browser: Any, url: str, spice: int) -> None:
    page = site.context(browser, "bob").new_page()
    before = _established(spice)
    page.goto(url)
    page.wait_for_url("**/spice_auto.html**")  # past the page that clears what others left
    answer = page.goto(url)
    lab.holds(answer.status == 404 and not page.query_selector("canvas"), "bob's browser gets 404 for the page")
    own = free_port()
    server = [PYTHON, "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(_HTML5), str(own)]
    process = lab.accounts.run_as("bob", server, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until_listening("127.0.0.1", own, process=process, within=20)
    page.goto(f"{site.together}/fw2/localhost:{own}/spice_auto.html?path=nowhere")
    said = page.evaluate(
        """address => new Promise(done => {
          const socket = new WebSocket(address, ['binary']);
          socket.onopen = () => done('open');
          socket.onclose = event => done(`closed ${event.code}`);
          setTimeout(() => done('nothing'), 10000);
        })""",
        f"wss://apps.localhost:{site.port}/fw2/localhost:{spice}/",
    )
    lab.holds(said == "closed 1006", f"bob's own spice-html5 opens a WebSocket to alice's SPICE port: {said}")
    lab.holds(_established(spice) == before, "no connection of his reached qemu")


def _established(port: int) -> int:
    """Connections that a local listener's port has."""
    table = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return sum(1 for line in table if line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "01")
