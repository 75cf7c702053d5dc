"""Speed, as ratios of two measurements of one run on the same machine."""
