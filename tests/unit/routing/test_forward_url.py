"""What users' scripts write into forward files."""

from __future__ import annotations

import base64

import pytest

from supercloud.routing.forward_url import ForwardUrl, Unreadable, read_forward
from supercloud.target import Application


def url(
    node: str, port: int, base: bytes = b"", *, tls: bool = False, basic: bytes = b"", lines: int = 1
) -> ForwardUrl:
    authorization = b"Basic " + base64.b64encode(basic) if basic else b""
    return ForwardUrl(Application(node, port), base, tls, authorization, lines)


@pytest.mark.parametrize(
    ("data", "read"),
    [
        (b"http://node1:12000/\n", url("node1", 12000)),
        (b"http://node1:12000", url("node1", 12000)),
        (b"  http://node1:12000/ \r\n", url("node1", 12000)),
        (b"HTTP://Node1.Cluster:12000/", url("node1.cluster", 12000)),
        (b"http://node1:12000-12003/\n", url("node1", 12000)),
        (b"http://node1:12000,12005-12006/\n", url("node1", 12000)),
        (b"http://node1:12000/playground/\n", url("node1", 12000, b"/playground")),
        (b"http://node1:12000/a/b\n", url("node1", 12000, b"/a/b")),
        (b"https://node1:8443/\n", url("node1", 8443, tls=True)),
        (b"http://10.77.0.11:8080/\n", url("10.77.0.11", 8080)),
        (b"http://[FD77::11]:8080/\n", url("fd77::11", 8080)),
        (b"http://jim:sesame@node1:80/\n", url("node1", 80, basic=b"jim:sesame")),
        (b"http://jim@node1:80/\n", url("node1", 80, basic=b"jim:")),
        (b"http://jim:a%3Ab%40c@node1:80/\n", url("node1", 80, basic=b"jim:a:b@c")),
        (b"http://old:1/\nhttp://node1:2/\n", url("node1", 2, lines=2)),
        (b"rubbish\n\n  \nhttp://node1:2/\n\n", url("node1", 2, lines=2)),
    ],
)
def test_one_url_is_read_as_scripts_write_it(data: bytes, read: ForwardUrl) -> None:
    assert read_forward(data) == read


@pytest.mark.parametrize("data", [b"", b"\n", b" \n\t\r\n"])
def test_an_empty_file_keeps_the_name_and_leads_nowhere(data: bytes) -> None:
    assert read_forward(data) is None


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"node1:12000", "the line is not a URL; write one as http://NODE:PORT/"),
        (b"http://node1:1/\nhello", "its last line is not a URL"),
        (b"http:/node1:12000/", "not a URL"),
        (b"ftp://node1:21/", "not a URL"),
        (b"http://node1:12000/a b", "not a URL"),
        (b"http://node1:12000/\x00", "not a URL"),
        (b"\x1c", "not a URL"),
        (b"http://node1:12000/\x1dhttp://node2:1/", "not a URL"),
        (b"http://n\xc3\xb6de:1/", "something else than plain letters"),
        (b"http://node1/", "no port"),
        (b"http://node1:/", "$SLURM_STEP_RESV_PORTS"),
        (b"http://node1:(null)/", "a port that is none: (null)"),
        (b"http://node1:0/", "a port that is none"),
        (b"http://node1:08080/", "a port that is none"),
        (b"http://node1:65536/", "a port that is none"),
        (b"http://node1:99999999999/", "a port that is none"),
        (b"http://:8080/", "names no node"),
        (b"http://no_de..x:8080/", "names no node"),
        (b"http://-x:8080/", "names no node"),
        (b"http://[::zz]:8080/", "not a URL"),
        (b"http://[1:2]:8080/", "an address that is none"),
        (b"http://node1:8080/?token=x", "a query or a fragment"),
        (b"http://node1:8080/#x", "a query or a fragment"),
        (b"http://a%0d%0aX:y@node1:8080/", "control characters"),
    ],
)
def test_what_is_wrong_is_told_in_words(data: bytes, words: str) -> None:
    with pytest.raises(Unreadable) as told:
        read_forward(data)
    assert words in str(told.value)


def test_no_login_is_shown_by_accident() -> None:
    assert "sesame" not in repr(read_forward(b"http://jim:sesame@node1:80/"))
    for data in (b"http://jim:sesame@node1/", b"http://jim:sesame@:80/", b"http://jim:sesame@node1:x/"):
        with pytest.raises(Unreadable) as told:
            read_forward(data)
        assert "sesame" not in str(told.value)
