"""An application as it is shown under its path prefix."""

from __future__ import annotations

from supercloud.rewrite.links import Links

LINKS = Links(b"https://portal.test", b"portal.test", b"node1:8080", b"/fw2/node1:8080")
P = "/fw2/node1:8080"
