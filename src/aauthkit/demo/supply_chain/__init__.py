"""The start of a supply chain: a page for people, two agents that speak A2A, and a tool that speaks MCP.

    a person's browser -> web -> supply-chain -> market-analysis -> pricing

`web` has an agent for each person and acts for them at `supply-chain`, which needs the scope `supply-chain:optimize`.
From there on each program acts as itself: nobody downstream is told of the person yet. Every figure comes from the
data set of the pricing tool (`market.py`), and who called whom is told by whoever verified it (`speaking.py`).

`python -m aauthkit.demo.supply_chain PROGRAM` runs one of them, in the installation of its environment.
"""
