"""The firewall rule: whose listener may a principal reach (paper section II.C; User-Based Firewall), and which one may
a named forward lead to.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

import msgspec

from supercloud.identity import Principal
from supercloud.target import Reservation

_STICKY: Final = 0o1000
_WRITABLE_BY_OTHERS: Final = 0o022


class Verdict(Enum):
    """The rule's answer, with its reason."""

    SAME_USER = "same user"
    PRIVATE_GROUP = "member of the holder's private group"
    TAKEN_GROUP = "member of the group that the holder took"
    NOT_OWNER = "somebody else's"
    SHARED_GROUP = "the group is shared by everybody"
    PRIMARY_GROUP = "the group is the holder's primary group, not taken on purpose"
    ROOT = "held by root"
    FORWARD_OWNER = "same user as the forward's file"
    FORWARD_GROUP = "same group as the forward's file"
    PUBLISHED = "published by root"
    FORWARD_WRITABLE = "others may write the forward's file"

    @property
    def permits(self) -> bool:
        """Whether the connection may be made."""
        return self in _PERMITTING

    @property
    def is_by_group(self) -> bool:
        """Whether it stands on groups, which may change while the connection lives."""
        return self in _BY_GROUP


_BY_GROUP = frozenset({Verdict.PRIVATE_GROUP, Verdict.TAKEN_GROUP, Verdict.FORWARD_GROUP})
_PERMITTING = frozenset(
    {
        Verdict.SAME_USER,
        Verdict.PRIVATE_GROUP,
        Verdict.TAKEN_GROUP,
        Verdict.FORWARD_OWNER,
        Verdict.FORWARD_GROUP,
        Verdict.PUBLISHED,
    }
)


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
    return _judge_group(owner.gid, owner, shared_gids)


def judge_forward(file: Reservation, owner: SocketOwner, shared_gids: frozenset[int] = frozenset()) -> Verdict:
    """Apply the rule for a forward: whoever may execute its file is let in to where its owner may lead them. No I/O,
    no clock, total.

    A group counts here as it does without a forward: files have their maker's primary group by themselves, and where
    that is everybody's it says nothing.
    """
    if file.uid == 0 and file.mode & _STICKY:
        return Verdict.PUBLISHED
    if owner.uid == file.uid and not file.mode & _WRITABLE_BY_OTHERS:
        return Verdict.FORWARD_OWNER
    if owner.uid != 0 and owner.gid is not None and owner.gid == file.gid:
        verdict = _judge_group(owner.gid, owner, shared_gids)
        return Verdict.FORWARD_GROUP if verdict.permits else verdict
    if owner.uid == file.uid:
        return Verdict.FORWARD_WRITABLE
    return Verdict.ROOT if owner.uid == 0 else Verdict.NOT_OWNER


def _judge_group(gid: int, owner: SocketOwner, shared_gids: frozenset[int]) -> Verdict:
    """Whether a listener's group means that its holder lets the group in."""
    if gid == 0 or gid in shared_gids:
        return Verdict.SHARED_GROUP
    if owner.primary_gid is None:
        return Verdict.NOT_OWNER  # An account that nobody knows: nothing tells whether the group was taken.
    if gid != owner.primary_gid:
        return Verdict.TAKEN_GROUP
    return Verdict.PRIVATE_GROUP if owner.has_private_group else Verdict.PRIMARY_GROUP
