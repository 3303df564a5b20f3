"""The firewall rule: whose listener may a principal reach (paper section II.C; User-Based Firewall)."""

from __future__ import annotations

from enum import Enum

import msgspec

from supercloud.identity import Principal


class Verdict(Enum):
    """The rule's answer, with its reason."""

    SAME_USER = "same user"
    PRIVATE_GROUP = "member of the holder's private group"
    TAKEN_GROUP = "member of the group that the holder took"
    NOT_OWNER = "somebody else's"
    SHARED_GROUP = "the group is shared by everybody"
    PRIMARY_GROUP = "the group is the holder's primary group, not taken on purpose"
    ROOT = "held by root"

    @property
    def permits(self) -> bool:
        """Whether the connection may be made."""
        return self in _PERMITTING


_PERMITTING = frozenset({Verdict.SAME_USER, Verdict.PRIVATE_GROUP, Verdict.TAKEN_GROUP})


class SocketOwner(msgspec.Struct, frozen=True):
    """Who holds a socket, as the node that has it said.

    :ivar uid: effective uid of the holder.
    :ivar gid: effective gid of the holder; None when no process was found or asked for.
    :ivar pid: on the node; None likewise.
    :ivar primary_gid: of the holder's account in the account database; None when there is no such account.
    :ivar has_private_group: whether that group bears the account's name.
    :ivar is_accepted: False for a connection that no process has accepted yet: ``uid`` is the listener's then.
    :ivar age: seconds since the node answered.
    """

    uid: int
    gid: int | None = None
    pid: int | None = None
    primary_gid: int | None = None
    has_private_group: bool = False
    is_accepted: bool = True
    age: float = 0.0


def judge(principal: Principal, owner: SocketOwner, shared_gids: frozenset[int] = frozenset()) -> Verdict:
    """Apply the rule; no I/O, no clock, total.

    :param shared_gids: groups that never permit.
    """
    if owner.uid == principal.uid:
        return Verdict.SAME_USER
    if owner.uid == 0:
        return Verdict.ROOT
    if owner.gid is None or owner.gid not in principal.groups:
        return Verdict.NOT_OWNER
    if owner.gid == 0 or owner.gid in shared_gids:
        return Verdict.SHARED_GROUP
    if owner.primary_gid is None:
        return Verdict.NOT_OWNER  # An account that nobody knows: nothing tells whether the group was taken.
    if owner.gid != owner.primary_gid:
        return Verdict.TAKEN_GROUP
    return Verdict.PRIVATE_GROUP if owner.has_private_group else Verdict.PRIMARY_GROUP
