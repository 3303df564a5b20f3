"""The embedded portal with more room, or of another account: twistd -y, what it needs as JSON in SUPERCLOUD_BENCH."""

import json
import os
import time
from pathlib import Path

from msgspec.structs import replace
from twisted.application.service import Application

import supercloud.portal
from supercloud import config
from supercloud.acting import Acting
from supercloud.config import Network, PerPrincipal, UdpAddresses
from supercloud.node import make_responder
from supercloud.portal import Portal

_room = json.loads(os.environ["SUPERCLOUD_BENCH"])
_settings = config.embedded(Path(_room["state"]), port=_room["port"])
_principal = PerPrincipal(connections=_room["connections"], streams=_room["streams"])
_settings = replace(
    _settings,
    front=replace(_settings.front, per_principal=_principal),
    authn=replace(_settings.authn, password=replace(_settings.authn.password, pam_service="")),
    forwards=replace(_settings.forwards, directory=_room["forwards"]),
    nodes=replace(_settings.nodes, allow=(*_settings.nodes.allow, *_room["nodes"])),
    ident2=replace(_settings.ident2, udp=UdpAddresses.parse(_room["udp"]), peers=tuple(map(Network.parse, _room["peers"]))),
)


def _start(application):
    from twisted.internet import reactor

    responder = make_responder(_settings.ident2, reactor)
    responder.setServiceParent(application)
    if _room["uid"] != os.geteuid():
        # Somebody else's portal of root's: its monitor serves all accounts, as a site's does.
        supercloud.portal.Acting = lambda *on, **how: Acting(*on, **{**how, "only": None})
    portal = Portal(_settings, _settings.front, reactor, responder.client, responder.own, now=time.time)
    portal.embed(_room["uid"])
    portal.setServiceParent(application)


application = Application("supercloud-portal")
_start(application)
