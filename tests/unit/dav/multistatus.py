"""Reads a 207 as another implementation would."""

from __future__ import annotations

from xml.etree import ElementTree

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
