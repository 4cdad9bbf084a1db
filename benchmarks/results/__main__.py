"""`python -m benchmarks.results`."""

from benchmarks.results.command import main

if __name__ == "__main__":
    main()
