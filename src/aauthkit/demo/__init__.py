"""The demonstration: an agent, an API and the two servers between them, on the product's public surfaces only."""
