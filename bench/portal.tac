"""The embedded portal with more room: twistd -y, settings as JSON in SUPERCLOUD_BENCH."""

import json
import os
from pathlib import Path

from msgspec.structs import replace
from twisted.application.service import Application

from supercloud import config
from supercloud.config import Network, PerPrincipal
from supercloud.tap import make_services

_room = json.loads(os.environ["SUPERCLOUD_BENCH"])
_settings = config.embedded(Path(_room["state"]), port=_room["port"])
_principal = PerPrincipal(connections=_room["connections"], streams=_room["streams"])
_settings = replace(
    _settings,
    front=replace(_settings.front, per_principal=_principal),
    nodes=replace(_settings.nodes, allow=(*_settings.nodes.allow, *_room["nodes"])),
    ident2=replace(_settings.ident2, peers=tuple(map(Network.parse, _room["peers"]))),
)


def _start():
    from twisted.internet import reactor

    return make_services(_settings, reactor, is_embedded=True)


application = Application("supercloud-portal")
_start().setServiceParent(application)
