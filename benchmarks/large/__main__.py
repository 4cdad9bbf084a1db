"""`python -m benchmarks.large`."""

from benchmarks.large.command import main

if __name__ == "__main__":
    main()
