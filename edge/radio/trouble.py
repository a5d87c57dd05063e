"""What can be wrong with a sensor's link: each trouble with its cause, its remedy and the pause before another attempt.

This module holds data only. Cause and remedy are for people: what is the matter, and what they can do. What exactly
happened this time is added by the code that noticed it (see `diagnosis`). The rows are in the order in which a
connection can meet them.
"""

from enum import Enum


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
        "start it with `systemctl start bluetooth`",
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
    # Connecting
    CONNECT_FAILED = (
        "no connection to the sensor could be made",
        "bring it nearer; if that goes on, switch the sensor off and on",
        Pause.GROWING,
    )
    PAIRING_FAILED = (
        "the sensor and this machine could not be paired",
        "check the passkey in the configuration; if the sensor was paired anew elsewhere, remove it here with"
        " `bluetoothctl remove` and its address",
        Pause.GROWING,
    )
    # Connected
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

    def __init__(self, cause: str, remedy: str, pause: Pause) -> None:
        self.cause = cause
        self.remedy = remedy
        self.pause = pause
