"""The exception for bad input."""


class UserError(ValueError):
    """Bad input: the message is one sentence that names the input and the remedy.

    Commands print the message without a traceback and exit with status 1.
    """
