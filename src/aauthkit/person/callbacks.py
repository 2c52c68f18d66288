"""Where a person's browser goes back to: the shared rules (`aauthkit.callbacks`)."""

from __future__ import annotations

from ..callbacks import CallbackError, CallbackRefused, check_callback, with_error

__all__ = ["CallbackError", "CallbackRefused", "check_callback", "with_error"]
