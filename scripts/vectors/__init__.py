"""Makes the pack in `vectors/`: `python -m scripts.vectors`. It imports nothing of the package that the pack tests."""
