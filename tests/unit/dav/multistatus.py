"""Asks for properties, and reads a 207 as another implementation would."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

from supercloud.dav.guard import Request
from supercloud.dav.propfind import Propfind
from supercloud.dav.tree import Tree
from tests.fakes.wsgi import Caller

SPACES = 'xmlns:D="DAV:" xmlns:R="http://ns.example.com/boxschema/" xmlns:oc="http://owncloud.org/ns"'
LOCK = (
    b'<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype>'
    b"<D:owner><D:href>mailto:alice</D:href></D:owner></D:lockinfo>"
)
Found = dict[str, dict[int, dict[str, ElementTree.Element]]]


def read(body: bytes) -> Found:
    """href to status to property to its element; a response without properties has its status only."""
    root = ElementTree.fromstring(body)
    assert root.tag == "{DAV:}multistatus"
    found: Found = {}
    for response in root:
        href = response.findtext("{DAV:}href") or ""
        assert href not in found
        by_status = found[href] = {}
        if status := response.findtext("{DAV:}status"):
            by_status[_number(status)] = {}
        for propstat in response.findall("{DAV:}propstat"):
            properties = propstat.find("{DAV:}prop")
            assert properties is not None
            by_status[_number(propstat.findtext("{DAV:}status") or "")] = {one.tag: one for one in properties}
    return found


def _number(line: str) -> int:
    assert line.startswith("HTTP/1.1 ")
    return int(line.split()[1])


def body(inside: str) -> bytes:
    return f"<D:propfind {SPACES}>{inside}</D:propfind>".encode()


def find(dav: Caller, path: str = "/", inside: str = "", depth: str = "1", **fields: str) -> Found:
    answer = dav.ask("PROPFIND", path, body(inside) if inside else b"", depth=depth, **fields)
    assert answer.status == 207
    assert answer.fields["content-type"] == "application/xml; charset=utf-8"
    return read(answer.body)


def set_property(dav: Caller, path: str, value: str) -> None:
    update = f"<D:propertyupdate {SPACES}><D:set><D:prop>{value}</D:prop></D:set></D:propertyupdate>"
    assert b"200 OK" in dav.ask("PROPPATCH", path, update.encode()).body


def many(folder: Path, count: int) -> None:
    for number in range(count):
        (folder / f"file-{number:05}").touch()


def finder(folder: Path, *, locks: Any = None, properties: Any = None) -> Caller:
    """PROPFIND alone, with other locks and properties than the application's."""
    tree = Tree({"/": str(folder)}, str(folder))
    guard: Any = SimpleNamespace(locks=locks, check_conditions=lambda *_: None)
    answerer = Propfind(tree, guard, properties)

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        located = tree.locate(environ["PATH_INFO"])
        request = Request(environ, located, tree.stat_or_none(located))
        return answerer.answer(request, start_response, environ["wsgi.input"].read())

    return Caller(app)
