"""Makes ``twistd supercloud-portal`` known to Twisted."""

from twisted.application.service import ServiceMaker

supercloud_portal = ServiceMaker(
    "SuperCloud portal",
    "supercloud.tap",
    "HTTPS door to web applications on compute nodes, open only to the people whose processes they are.",
    "supercloud-portal",
)
