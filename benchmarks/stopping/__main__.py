"""`python -m benchmarks.stopping`."""

from benchmarks.stopping.command import main

if __name__ == "__main__":
    main()
