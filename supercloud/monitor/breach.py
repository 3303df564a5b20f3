"""What ends the monitor, and with it everything below: no part of it tries to go on."""

from __future__ import annotations


class Breach(BaseException):
    """What the monitor relies on does not hold: a request that is not in the table, a zygote that ended, a place that
    is not as it must be. No ``except Exception`` can live through it. Its text is for the log and quotes nothing that
    came from the front.
    """


class FrontEnded(BaseException):
    """The front's socket ended, in the usual way."""
