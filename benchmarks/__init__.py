"""Speed measurements side by side with named peers: `python -m benchmarks.NAME`, or `make bench` for all."""
