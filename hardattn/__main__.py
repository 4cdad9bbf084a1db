"""`python -m hardattn`."""

from hardattn.cli.main import main

if __name__ == "__main__":
    main(prog_name="hardattn")
