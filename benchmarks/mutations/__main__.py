"""`python -m benchmarks.mutations`."""

from benchmarks.mutations.command import main

if __name__ == "__main__":
    main()
