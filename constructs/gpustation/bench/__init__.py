"""Benchmark of a machine: the program that measures, its record, and comparisons of records."""
