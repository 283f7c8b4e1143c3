"""What the benchmarks are compared with. Nothing here is part of wheatstone."""
