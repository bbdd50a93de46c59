"""What is fast, and against which baseline: `make bench`."""
