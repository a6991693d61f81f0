"""The one exception that stands for bad input."""


class UserError(ValueError):
    """Something the user gave cannot be used: one sentence that names it and the remedy.

    Commands print the message without a traceback and exit with status 1.
    """
