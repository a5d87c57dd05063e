"""Whether a link is safe enough for the data of a kind of sensor. Pure.

    least            link                                            then
    none             any                                             safe
    encrypted        bonded, and not known to be unencrypted         safe
    authenticated    the same, and a passkey made the key            safe
    authenticated    the same, and nobody knows what made the key    safe if the device is trusted
    authenticated    the same, and no passkey made it                safe if that is accepted

"Trusted" is a mark that the system keeps beside the key. The gateway sets it after a pairing that was safe enough, or
whoever looks after this machine sets it by hand; so a bond stays good when the gateway's store is lost.
"""

from enum import StrEnum

from edge.kinds import Security
from edge.radio.pairing.system import Standing


class Made(StrEnum):
    """How the gateway made a bond; the texts are kept in the store."""

    BY_PASSKEY = "by passkey"
    JUST_WORKS = "just works"


def shortfall(
    least: Security, standing: Standing, made: Made | None, *, accepts_just_works: bool
) -> str | None:
    """What the link lacks; None if it is safe enough."""
    if least is Security.NONE:
        return None
    if not standing.is_bonded:
        return "there is no bond"
    if standing.is_encrypted is False:
        return "the link is not encrypted, although there is a bond: something else may pose as the sensor"
    if least is Security.ENCRYPTED or accepts_just_works or made is Made.BY_PASSKEY:
        return None
    if made is Made.JUST_WORKS:
        return "it was paired without a passkey"
    return None if standing.is_trusted else "nobody knows whether a passkey was used when it was paired"
