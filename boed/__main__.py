"""`python -m boed`."""

from boed.cli.main import main

if __name__ == "__main__":
    main(prog_name="boed")
