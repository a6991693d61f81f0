"""The exception for bad input, and the one sentence for a file that cannot be read."""

from pathlib import Path


class UserError(ValueError):
    """Bad input: the message is one sentence that names the input and the remedy.

    Commands print the message without a traceback and exit with status 1.
    """


def unreadable(path: Path, error: Exception) -> UserError:
    """Return the error for a file that is no image, or a broken one; a sentence that is one already stays."""
    if isinstance(error, UserError):
        return error
    reason = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, LookupError):
        reason = "it breaks off, or is damaged"  # its text is only what was looked for, such as 0
    return UserError(f"{path} cannot be read as an image ({reason}): replace or remove it")
