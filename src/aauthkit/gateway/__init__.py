"""The gateway: AAuth in front of anything that speaks HTTP, with one place for rules."""

from __future__ import annotations

from .configuration import Configuration, ConfigurationError, read_configuration
from .gate import Gate, Passed, Turned

__all__ = ["Configuration", "ConfigurationError", "Gate", "Passed", "Turned", "read_configuration"]
