"""``python -m landscape`` is ``landscape``."""

from landscape.cli import main

main()
