"""Every MUST, counted: the list in `conformance/`, held against the drafts, the code and the tests."""
