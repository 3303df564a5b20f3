"""Why the portal lets somebody in or does not, at the desk: for root and the portal's own account only."""

from __future__ import annotations

from typing import Annotated

import msgspec

from supercloud.desk.wire import Message


class AskWhy(Message, frozen=True, tag="ask-why"):
    """Answered by `WhyTold`.

    :ivar url: as a browser would have it in its address line.
    """

    login: Annotated[str, msgspec.Meta(max_length=256)]
    url: Annotated[str, msgspec.Meta(max_length=4096)]


# Answers. `Refused` has the code ``not-allowed``, and those of the desk itself.


class WhyTold(Message, frozen=True, tag="why-told"):
    """What each stage said, in their order: the stage's name and its words.

    :ivar refused: status and reason of the stage that refused; empty when all let the account in.
    """

    stages: tuple[tuple[str, str], ...]
    refused: str
