"""`python -m benchmarks.convergence`."""

from benchmarks.convergence.command import main

if __name__ == "__main__":
    main()
