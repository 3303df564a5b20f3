"""What Windows' WebClient and macOS's Finder send, request by request, as recorded: each answered as they need it."""

from __future__ import annotations

import base64
import re
import ssl
from dataclasses import dataclass, field
from http.client import HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any

from tests.acceptance.lab_of import Lab
from tests.acceptance.site_of import PasswordSite, password_of

_LOCK = (
    b'<?xml version="1.0" encoding="utf-8" ?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>'
    b"<D:locktype><D:write/></D:locktype><D:owner><D:href>%b</D:href></D:owner></D:lockinfo>"
)
_WIN32 = (
    b'<?xml version="1.0" encoding="utf-8" ?><D:propertyupdate xmlns:D="DAV:" xmlns:Z="urn:schemas-microsoft-com:">'
    b"<D:set><D:prop><Z:Win32CreationTime>Tue, 03 Feb 2026 10:11:12 GMT</Z:Win32CreationTime>"
    b"<Z:Win32LastAccessTime>Tue, 03 Feb 2026 10:11:12 GMT</Z:Win32LastAccessTime>"
    b"<Z:Win32LastModifiedTime>Tue, 03 Feb 2026 10:11:12 GMT</Z:Win32LastModifiedTime>"
    b"<Z:Win32FileAttributes>00000020</Z:Win32FileAttributes></D:prop></D:set></D:propertyupdate>"
)
_QUOTA = (
    b'<?xml version="1.0" encoding="utf-8"?><D:propfind xmlns:D="DAV:"><D:prop><D:quota-available-bytes/>'
    b"<D:quota-used-bytes/><D:quota/><D:quotaused/></D:prop></D:propfind>"
)
_FINDER = (
    b'<?xml version="1.0" encoding="utf-8"?><D:propfind xmlns:D="DAV:"><D:prop><D:getlastmodified/>'
    b"<D:getcontentlength/>"
    b"<D:creationdate/><D:resourcetype/></D:prop></D:propfind>"
)


@dataclass
class Answer:
    """One response."""

    status: int
    fields: dict[str, str]
    body: bytes

    @classmethod
    def of(cls, response: HTTPResponse) -> Answer:
        return cls(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())


@dataclass
class Desktop:
    """One client: kept connection, its own way to name itself, Basic once it was asked for."""

    site: PasswordSite
    agent: str
    always: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        context = ssl.create_default_context(cafile=str(self.site.ca))
        self._connection = HTTPSConnection("localhost", self.site.plain, context=context, timeout=30)
        self._signed: dict[str, str] = {}

    def sign_in(self, login: str) -> None:
        pair = base64.b64encode(f"{login}:{password_of(login)}".encode()).decode()
        self._signed = {"Authorization": f"Basic {pair}"}

    def __call__(self, method: str, path: str, body: Any = None, *, chunked: bool = False, **fields: str) -> Answer:
        sent = {"User-Agent": self.agent, **self.always, **self._signed}
        sent |= {name.replace("_", "-"): value for name, value in fields.items()}
        if body is None and not chunked:
            sent["Content-Length"] = "0"
        self._connection.request(method, path, body, sent, encode_chunked=chunked)
        return Answer.of(self._connection.getresponse())


def run(lab: Lab) -> None:
    """See the module's first line."""
    site = PasswordSite(lab)
    home = lab.accounts["alice"].home
    _windows(lab, site, home)
    _finder(lab, site, home)
    _office(lab, site)


def _token(answer: Answer) -> str:
    return answer.fields.get("lock-token", "").strip("<>")


def _windows(lab: Lab, site: PasswordSite, home: Path) -> None:
    agent = "Microsoft-WebDAV-MiniRedir/10.0.19045"
    mini = Desktop(site, agent, {"translate": "f", "Connection": "Keep-Alive"})
    asked = mini("OPTIONS", "/")
    lab.holds(asked.status == 200 and "2" in asked.fields["dav"], "Windows asks OPTIONS for / before anything")
    refused = mini("OPTIONS", "/dav/~/")
    lab.holds(refused.status == 401 and "Basic" in refused.fields["www-authenticate"], "it is asked for a password")
    mini.sign_in("alice")
    options = mini("OPTIONS", "/dav/~/")
    lab.holds(options.status == 200 and "2" in options.fields["dav"], "DAV: 1, 2, 3")
    lab.holds(options.fields.get("ms-author-via") == "DAV", "MS-Author-Via: DAV")
    for path in ("/dav", "/dav/", "/dav/~", "/dav/~/"):
        listed = mini("PROPFIND", path, Depth="0")
        lab.holds(listed.status == 207, f"PROPFIND {path} at depth 0: {listed.status}")
    lab.holds(mini("PROPFIND", "/dav/~/note.docx", Depth="0").status == 404, "the file is not there yet")
    lab.holds(mini("PUT", "/dav/~/note.docx").status == 201, "PUT of nothing")
    locked = mini("LOCK", "/dav/~/note.docx", _LOCK % b"DESKTOP\\alice", Timeout="Second-3600")
    token = _token(locked)
    lab.holds(locked.status == 200 and token, "LOCK without Depth")
    condition = f"(<{token}>)"
    set_once = mini("PROPPATCH", "/dav/~/note.docx", _WIN32, If=condition)
    lab.holds(set_once.status == 207 and not re.search(rb"HTTP/1.1 [345]", set_once.body), "PROPPATCH of Win32 times")
    lab.holds(mini("PUT", "/dav/~/note.docx", b"words", If=condition).status in (200, 204), "PUT of the content")
    lab.holds(mini("HEAD", "/dav/~/note.docx").fields["content-length"] == "5", "HEAD tells its size")
    lab.holds(mini("PROPPATCH", "/dav/~/note.docx", _WIN32, If=condition).status == 207, "PROPPATCH again")
    lab.holds(mini("UNLOCK", "/dav/~/note.docx", Lock_Token=f"<{token}>").status == 204, "UNLOCK")
    lab.holds((home / "note.docx").read_bytes() == b"words", "the file is there")
    lab.holds(int((home / "note.docx").stat().st_mtime) == 1770113472, "with the time that Windows gave it")
    moved = mini("MOVE", "/dav/~/note.docx", Destination=f"{site.dav}/~/New%20name.docx", Overwrite="F")
    lab.holds(moved.status == 201 and (home / "New name.docx").exists(), "renamed in the Explorer")
    lab.holds(mini("DELETE", "/dav/~/New%20name.docx").status == 204, "removed")


def _finder(lab: Lab, site: PasswordSite, home: Path) -> None:
    finder = Desktop(site, "WebDAVFS/3.0.0 (03008000) Darwin/23.6.0 (arm64)", {"Accept": "*/*"})
    lab.holds(finder("OPTIONS", "/dav/~/").status == 401, "Finder is asked for a password")
    finder.sign_in("alice")
    options = finder("OPTIONS", "/dav/~/")
    lab.holds(options.status == 200 and "2" in options.fields["dav"], "class 2, or it mounts read-only")
    quota = finder("PROPFIND", "/dav/~/", _QUOTA, Depth="0", Content_Type="text/xml")
    available = re.search(rb"quota-available-bytes>(\d+)<", quota.body)
    lab.holds(quota.status == 207 and available and int(available[1]) > 0, "the room that is left is told")
    for name in (".metadata_never_index", ".DS_Store", "._.", ".Spotlight-V100", "Contents", ".hidden"):
        status = finder("PROPFIND", f"/dav/~/{name}", _FINDER, Depth="0", Content_Type="text/xml").status
        if status != 404:
            lab.holds(False, f"{name}: {status}")
    lab.saw("what it looks for and is not there is 404")
    (home / "\u00e9t\u00e9.txt").write_bytes(b"summer")
    lab.holds(finder("GET", "/dav/~/e%CC%81te%CC%81.txt").body == b"summer", "what was named on the cluster is found")
    name = "e\u0301tude.pdf"  # decomposed, as macOS sends names
    path = "/dav/~/e%CC%81tude.pdf"
    locked = finder("LOCK", path, _LOCK % b"http://www.apple.com/webdav_fs/", Depth="0", Timeout="Second-600",
                    Content_Type="text/xml")  # fmt: skip
    token = _token(locked)
    lab.holds(locked.status == 201 and token, "LOCK of what is not there makes an empty file")
    condition = f"(<{token}>)"
    data = bytes(range(256)) * 4000
    pieces = (data[at : at + 65536] for at in range(0, len(data), 65536))
    put = finder("PUT", path, pieces, chunked=True, If=condition, Transfer_Encoding="chunked",
                 X_Expected_Entity_Length=str(len(data)))  # fmt: skip
    lab.holds(put.status in (200, 201, 204), f"PUT in chunks, without Content-Length: {put.status}")
    listed = finder("PROPFIND", path, _FINDER, Depth="0", Content_Type="text/xml")
    size = b"getcontentlength>%d<" % len(data)
    lab.holds(listed.status == 207 and size in listed.body, "PROPFIND tells the whole size")
    other = Desktop(site, "WebDAVFS/3.0.0")
    other.sign_in("alice")
    lab.holds(other("GET", path).body == data, "another connection reads it while it is locked")
    lab.holds(other("PUT", path, b"other").status == 423, "and cannot write it")
    lab.holds(finder("UNLOCK", path, Lock_Token=f"<{token}>").status == 204, "UNLOCK")
    found = [one.name for one in home.iterdir() if one.name in (name, "\u00e9tude.pdf")]
    lab.holds(len(found) == 1, f"one file, called {found[0]!a} on the cluster")
    lab.holds((home / found[0]).read_bytes() == data, "and whole")
    beside = finder("PUT", "/dav/~/._e%CC%81tude.pdf", b"\0\5\x16\7" + bytes(4092))
    lab.holds(beside.status == 201, "its resource fork lies beside it")
    lab.holds(finder("DELETE", path).status == 204, "removed")


def _office(lab: Lab, site: PasswordSite) -> None:
    office = Desktop(site, "Microsoft Office Word 2014")
    lab.holds(office("OPTIONS", "/dav/~/report.docx").status == 401, "Word is asked for a password, not sent elsewhere")
    lab.holds(office("HEAD", "/dav/~/report.docx").status == 401, "for HEAD, too")
    office.sign_in("alice")
    lab.holds(office("PUT", "/dav/~/report.docx", b"one").status == 201, "a document")
    head = office("HEAD", "/dav/~/report.docx")
    lab.holds(head.status == 200 and head.fields["etag"].startswith('"'), "HEAD tells a strong tag")
    locked = office("LOCK", "/dav/~/report.docx", _LOCK % b"alice", Timeout="Second-180", Depth="0")
    token = _token(locked)
    refreshed = office("LOCK", "/dav/~/report.docx", None, Timeout="Second-180", If=f"(<{token}>)")
    lab.holds(refreshed.status == 200, "its lock is refreshed while it is open")
    saved = office("PUT", "/dav/~/report.docx", b"two", If=f"(<{token}>)")
    lab.holds(saved.status in (200, 204), "saved under the lock")
    lab.holds(office("UNLOCK", "/dav/~/report.docx", Lock_Token=f"<{token}>").status == 204, "closed")
    lab.holds(office("GET", "/dav/~/report.docx").body == b"two", "what was saved is there")
