"""`python -m benchmarks.survival`."""

from benchmarks.survival.command import main

if __name__ == "__main__":
    main()
