"""In the guest: an adapter's interface down or up, as `hciconfig` did. radio_switch.py down|up [NUMBER]."""

import fcntl
import socket
import sys

AF_BLUETOOTH, BTPROTO_HCI = 31, 1
REQUESTS = {"up": 0x400448C9, "down": 0x400448CA}

if __name__ == "__main__":
    with socket.socket(AF_BLUETOOTH, socket.SOCK_RAW, BTPROTO_HCI) as device:
        fcntl.ioctl(device, REQUESTS[sys.argv[1]], int(sys.argv[2]) if len(sys.argv) > 2 else 0)
