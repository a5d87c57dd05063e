"""What can be wrong with a sensor's link: each trouble with its cause, its remedy and the pause before another attempt.

This module holds data only. Cause and remedy are for people: what is the matter, and what they can do. What exactly
happened this time is added by the code that noticed it (see `diagnosis`). The rows are in the order in which a
connection can meet them.
"""

from enum import Enum
from typing import Final


class Pause(Enum):
    """How long to wait before the next attempt."""

    STEADY = "the same each time: there is nothing to try, and it may end at any moment"
    GROWING = "twice as long each time, up to a limit: trying costs the sensor's battery"


class Trouble(Enum):
    """A row for each trouble: cause, remedy, pause."""

    # This machine
    NO_ADAPTER = (
        "this machine has no Bluetooth adapter that can be used",
        "plug one in, or enable the one that is built in",
        Pause.STEADY,
    )
    ADAPTER_OFF = (
        "the Bluetooth adapter is switched off",
        "switch it on with `bluetoothctl power on`; if that is refused, `rfkill unblock bluetooth` first",
        Pause.STEADY,
    )
    NOT_ALLOWED = (
        "the user that the gateway runs as may not use Bluetooth",
        "make that user a member of the group bluetooth, and restart the gateway",
        Pause.STEADY,
    )
    NO_SERVICE = (
        "the system's Bluetooth service cannot be reached",
        "start it with `systemctl start bluetooth`; in a container, give it the host's /run/dbus",
        Pause.STEADY,
    )
    SERVICE_SILENT = (
        "the system's Bluetooth service does not answer",
        "if that goes on, restart it with `systemctl restart bluetooth`",
        Pause.STEADY,
    )
    SCAN_REFUSED = (
        "the Bluetooth adapter does not search",
        "if that goes on, switch it off and on with `bluetoothctl power off` and `bluetoothctl power on`",
        Pause.STEADY,
    )
    # Searching; the search goes on
    NOTHING_HEARD = (
        "no Bluetooth device at all is heard",
        "put the sensor on and bring it nearer; if there are others nearby, the adapter is deaf: unplug it, or switch"
        " this machine off and on",
        Pause.GROWING,
    )
    NOT_HEARD = (
        "the sensor is not heard, though others are",
        "put it on, bring it nearer, check its battery and its address in the configuration; a sensor that is"
        " connected to a phone is silent: disconnect it there",
        Pause.GROWING,
    )
    HELD_ELSEWHERE = (
        "the sensor was heard, but takes no connection: another phone or gateway seems to hold it",
        "disconnect it there, or switch Bluetooth off there; else bring it nearer",
        Pause.GROWING,
    )
    NO_DATA = (
        "the sensor is heard, but its advertisements carry no data that can be read",
        "check its kind in the configuration; what the detail means is in the guide, under sensors that only advertise",
        Pause.STEADY,
    )
    # Connecting
    CONNECT_FAILED = (
        "no connection to the sensor could be made",
        "bring it nearer; if that goes on, switch the sensor off and on",
        Pause.GROWING,
    )
    # Pairing
    PASSKEY_MISSING = (
        "the sensor asks for its passkey, and nobody has told it",
        "read the six digits off the sensor and call `vitalgate sensor pair`, or enter them as `passkey` in the"
        " configuration",
        Pause.GROWING,
    )
    PASSKEY_WRONG = (
        "the passkey is wrong",
        "read the six digits off the sensor again and call `vitalgate sensor pair`, or mend `passkey` in the"
        " configuration",
        Pause.GROWING,
    )
    PAIRING_CLOSED = (
        "the sensor does not let itself be paired now",
        "open its pairing window as its maker says (often a button, or a charger); if it remembers only few devices,"
        " remove one there",
        Pause.GROWING,
    )
    BONDS_FULL = (
        "the sensor forgets this gateway or refuses it, though it was asked to pair: its list of paired devices seems"
        " full",
        "remove a device from that list as its maker says, or reset the sensor; then call `vitalgate sensor pair`",
        Pause.GROWING,
    )
    BOND_LOST = (
        "the common key of the sensor and this machine is lost or deleted",
        "if the gateway does not pair again by itself, call `vitalgate sensor pair`",
        Pause.GROWING,
    )
    INSECURE = (
        "the link to the sensor is not safe enough for its data, which are refused",
        "pair with the sensor's passkey: `vitalgate sensor pair`; for a sensor without one, `accept_just_works = true`"
        " in its section of the configuration accepts that somebody nearby could pose as the sensor",
        Pause.GROWING,
    )
    BLOCKED = (
        "the system is still at an earlier connection to the sensor",
        "the gateway makes the system drop it; if that goes on, `bluetoothctl remove` with the sensor's address",
        Pause.STEADY,
    )
    NO_SLOT = (
        "the Bluetooth adapter holds as many connections as it can",
        "plug in another adapter and name both in [radio] adapters, or use fewer sensors",
        Pause.STEADY,
    )
    PAIRING_FAILED = (
        "the sensor and this machine could not be paired",
        "bring it nearer; if that goes on, call `vitalgate sensor pair`",
        Pause.GROWING,
    )
    # Connected
    OTHER_ROUTE = (
        "the sensor tells nothing by connection",
        "take the route that is named with this trouble",
        Pause.GROWING,
    )
    SERVICES_MISSING = (
        "the system does not tell of all that the sensor has",
        "if that goes on, have the system find out anew: `bluetoothctl remove` with the sensor's address",
        Pause.GROWING,
    )
    WRONG_KIND = (
        "the sensor lacks what its kind must have",
        "check its kind in the configuration",
        Pause.GROWING,
    )
    REFUSED = (
        "the sensor refused what it was asked for",
        "if that goes on, switch the sensor off and on",
        Pause.GROWING,
    )
    NONSENSE = (
        "the sensor answered what makes no sense",
        "check its kind in the configuration; if that is right, switch the sensor off and on",
        Pause.GROWING,
    )
    CONSENT_MISSING = (
        "the scale tells nothing before one of its users consents, and the configuration names none",
        "give `user` and `consent_code` of the sensor in the configuration; the scale or its app shows both",
        Pause.GROWING,
    )
    CONSENT_REFUSED = (
        "the scale did not accept the user's consent",
        "check `user` and `consent_code` in the configuration; if the user was deleted on the scale, it has a new code",
        Pause.GROWING,
    )
    TIME_UNKNOWN = (
        "the sensor sent nothing, as some do until they are told the time, which this machine does not surely know",
        "let this machine synchronise its clock; if it is right, set `trust_clock` in the configuration",
        Pause.GROWING,
    )
    NO_ANSWER = (
        "the sensor did not answer in time",
        "if that goes on, bring it nearer, or switch it off and on",
        Pause.GROWING,
    )
    SILENT = (
        "the sensor is connected, but sends nothing",
        "put it on as its maker says; if that goes on, switch it off and on",
        Pause.GROWING,
    )
    LINK_DROPPED = (
        "the link dropped",
        "if it happens often, bring sensor and gateway nearer to each other",
        Pause.GROWING,
    )

    # Feeds: what is asked by HTTP
    FEED_UNREACHABLE = (
        "the phone or the server cannot be reached",
        "switch it on, bring it into this network, and check that its web service is on and its address is the one in"
        " the configuration; a phone that saves power may have to be told not to",
        Pause.GROWING,
    )
    FEED_REFUSED = (
        "the phone or the server refuses the secret",
        "check `secret` in the configuration; on a phone, switch its open web service on",
        Pause.GROWING,
    )
    FEED_UNTRUSTED = (
        "the certificate of the server is not trusted",
        "use the name that it was made for, or have this machine trust whoever made it",
        Pause.GROWING,
    )
    FEED_IN_THE_OPEN = (
        "the server is not in this network, and everybody on the way could read what it is asked",
        "use https, or set `allow_plain_http` if the way is safe",
        Pause.GROWING,
    )
    FEED_NONSENSE = (
        "the phone or the server answers what makes no sense",
        "check its address, and `server` if the configuration has it",
        Pause.GROWING,
    )
    FEED_OLD = (
        "the phone or the server is reached, but its newest value is old",
        "look at the phone: its app may have lost the sensor, or cannot send to the server",
        Pause.STEADY,
    )
    FEED_ENDED = (
        "the phone or the server is reached, but no sensor is worn: it has ended, or has not begun",
        "start a sensor in the app on the phone",
        Pause.STEADY,
    )
    FEED_CLOCK = (
        "the clock of the phone or the server is wrong",
        "set it to network time: its values are kept at the times that it tells",
        Pause.STEADY,
    )

    def __init__(self, cause: str, remedy: str, pause: Pause) -> None:
        self.cause = cause
        self.remedy = remedy
        self.pause = pause


OF_THE_MACHINE: Final = frozenset(
    {
        Trouble.NO_ADAPTER,
        Trouble.ADAPTER_OFF,
        Trouble.NOT_ALLOWED,
        Trouble.NO_SERVICE,
        Trouble.SERVICE_SILENT,
    }
)
"""These are over for every sensor as soon as one can be searched for."""
