"""`python -m hardattn`."""

from hardattn.cli import main

main()
