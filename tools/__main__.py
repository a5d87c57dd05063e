"""`python -P -m tools` is the command `vitalgate`."""

from tools.cli import main

main()
