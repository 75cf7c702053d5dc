"""Speed, as ratios of two things measured in one run on the same machine."""
