"""`python -m benchmarks.judging`."""

from benchmarks.judging.command import main

if __name__ == "__main__":
    main()
