"""What `scripts/bench` measures, and the patterns that it compares with."""
