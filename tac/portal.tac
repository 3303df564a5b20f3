"""The portal for ``twistd -y tac/portal.tac``; the settings file is named by $SUPERCLOUD_CONFIG."""

import os

from twisted.application.service import Application

from supercloud.tap import Options, makeService

options = Options()
options.parseOptions(["--config", os.environ.get("SUPERCLOUD_CONFIG", "/etc/supercloud/portal.toml")])
application = Application("supercloud-portal")
makeService(options).setServiceParent(application)
