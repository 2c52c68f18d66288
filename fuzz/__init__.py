"""Coverage-guided fuzzing of every parser: what a stranger can send, mutated until something breaks."""
