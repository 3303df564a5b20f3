"""Where attempts come from: addresses that count as one, since one customer or one host has them."""

from __future__ import annotations

import hashlib
import ipaddress
from functools import lru_cache

_LOOPBACK = b"lo"


@lru_cache(maxsize=4096)
def shared_key(address: str) -> bytes:
    """An IPv4 address, or the /64 that one IPv6 customer has at least (RFC 6177); an IPv4 one may be written as IPv6.

    This host is one, whichever of its loopback addresses it takes. Anything else counts by its hash.
    """
    try:
        read = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return text_key(address)
    if isinstance(read, ipaddress.IPv6Address) and read.ipv4_mapped is not None:
        read = read.ipv4_mapped
    if read.is_loopback:
        return _LOOPBACK
    return read.packed[:8] if isinstance(read, ipaddress.IPv6Address) else read.packed


def text_key(text: str) -> bytes:
    """Of one length, whatever length an attacker chooses."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
