"""A compute node for ``twistd -y tac/node.tac``: it answers ident2 and nothing else."""

import os

from twisted.application.service import Application

from supercloud.tap import Options, makeService

options = Options()
options.parseOptions(["--config", os.environ.get("SUPERCLOUD_CONFIG", "/etc/supercloud/node.toml")])
application = Application("supercloud-node")
makeService(options).setServiceParent(application)
