"""`python -m benchmarks.frontiers`."""

from benchmarks.frontiers.command import main

if __name__ == "__main__":
    main()
