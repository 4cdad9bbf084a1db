"""`python -m benchmarks.widths`."""

from benchmarks.widths.command import main

if __name__ == "__main__":
    main()
