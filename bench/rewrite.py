"""rewrite: pages and style sheets under a path prefix, with their links rewritten and without."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bench import traffic
from bench.proxies import Place, Portal, Proxy, apache, start_nginx
from bench.report import Row, compare, interleave
from bench.traffic import Load
from tests.integration.lab.processes import free_port

_TEXT = (
    "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore et dolore. "
)
# A page of prose, with the markup of one: about one element in 60 bytes, and a link in 250.
_ROW = f"""<tr class="odd"><td><a href="/item/{{0}}?sort=name&amp;x=1">Item {{0}}</a></td><td><span>1234</span></td>
<td><img src="static/dot.png" alt=""> <em>caption</em></td></tr><p>{_TEXT}</p>\n"""
_SHEET = (
    "nav > .item:hover { margin: 0 auto; font: 12px 'A Font'; background: url(/dot.png) no-repeat } /* a comment */\n"
)
_LENGTH = 1_000_000
_LINKS = """
ProxyHTMLEnable On
ProxyHTMLLinks a href
ProxyHTMLLinks img src
ProxyHTMLLinks link href
ProxyHTMLLinks script src
ProxyHTMLLinks form action
ProxyHTMLURLMap / /app/
"""


def start_pages(folder: Path) -> tuple[int, dict[str, int]]:
    """Files of an application: their lengths by path."""
    rows = "".join(_ROW.format(number) for number in range(_LENGTH // len(_ROW)))
    texts = {
        "page.html": f"<!doctype html><html><head><title>page</title></head><body><table>{rows}</table></body></html>",
        "sheet.css": _SHEET * (_LENGTH // len(_SHEET)),
        "small.html": f"<!doctype html><title>small</title>{rows[:1000]}",
    }
    folder.mkdir()
    for name, text in texts.items():
        (folder / name).write_text(text)
    folder.parent.chmod(0o755)
    return free_port(), {name: len(text.encode()) for name, text in texts.items()}


def _load(proxy: Proxy, path: str, seconds: int) -> Callable[[], Load]:
    url = f"https://localhost:{proxy.port}{path}"
    return lambda: traffic.load(
        url, connections=1, seconds=seconds, headers=proxy.headers, pid=proxy.pid
    )  # fmt: skip


def rewrite(place: Place, rounds: int) -> list[Row]:
    """1 MB documents and a small page, on one connection."""
    folder = place.folder / "pages"
    upstream, lengths = start_pages(folder)
    types = "types { text/html html; text/css css; }"
    start_nginx(place, f"server {{ listen 127.0.0.1:{upstream} backlog=1024; root {folder}; {types} }}", upstream)
    portal = Portal(place)
    peer = apache(place, portal, upstream, modules=("xml2enc", "proxy_html"), more=_LINKS)
    shown, plain = f"/fw2/localhost:{upstream}/", f"/rnode/localhost/{upstream}/"
    rows = []
    for name, length in lengths.items():
        measures = {
            "portal": _load(portal.proxy, shown + name, 2),
            "not rewritten": _load(portal.proxy, plain + name, 2),
            **({"mod_proxy_html": _load(peer, f"/{name}", 2)} if name.endswith("html") else {}),
        }
        interleave(1, measures)
        results = interleave(rounds, measures)
        if name == "small.html":
            times = {one: [load.median for load in found] for one, found in results.items()}
            rows += [
                compare("1 KB page, 1 conn.", "us", times, one, is_more_better=False)
                for one in times
                if one != "portal"
            ]
            continue
        cpu = {one: [load.cpu / length * 1000 for load in found] for one, found in results.items()}
        rates = {one: [load.rate * length / 1e6 for load in found] for one, found in results.items()}
        rows += [compare(f"1 MB {name}", "MB/s", rates, one) for one in rates if one != "portal"]
        rows.append(compare(f"1 MB {name}", "ms CPU/MB", cpu, "not rewritten", is_more_better=False))
    return rows
