"""`python -m benchmarks.train_speed`."""

from benchmarks.train_speed.command import main

if __name__ == "__main__":
    main()
