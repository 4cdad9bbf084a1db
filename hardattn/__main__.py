"""`python -m hardattn`."""

from hardattn.cli.main import main

main()
