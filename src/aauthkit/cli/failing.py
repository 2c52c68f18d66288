"""How a command fails: in one line that says what happened, and one that says what to do next."""

from __future__ import annotations


class CommandError(Exception):
    """A command that cannot be done. `hint` is the next step, as a sentence or a command."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def explain(error: Exception) -> CommandError | None:
    """A failure that was foreseen as a `CommandError`; `None` for a fault of our own, which keeps its traceback."""
    if isinstance(error, CommandError):
        return error
    name = type(error).__module__
    if name.startswith("aauthkit.") and not isinstance(error, AssertionError):
        return CommandError(str(error))
    if isinstance(error, ModuleNotFoundError) and error.name is not None:
        return CommandError(
            f"the library {error.name!r} is not installed", "pip install 'aauthkit[demo]' brings all that commands use"
        )
    if isinstance(error, PermissionError | FileNotFoundError | IsADirectoryError):
        return CommandError(f"{error.filename}: {error.strerror}")
    return None
