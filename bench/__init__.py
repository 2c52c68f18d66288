"""Benchmarks. Each figure is a ratio against a floor taken in the same process and run, so that it travels."""
