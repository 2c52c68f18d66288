"""The pages of a person server: arriving with a code, signing in, deciding, and what was decided."""
