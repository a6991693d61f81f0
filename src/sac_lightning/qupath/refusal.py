"""What the server refuses, and with which status of HTTP."""

from sac_lightning.core.errors import UserError

BAD_REQUEST, FORBIDDEN, TOO_LARGE, WRONG_KIND, WRONG_CONTENT = 400, 403, 413, 415, 422


class RefusalError(UserError):
    """A request that is refused; the message is one sentence for whoever reads the client's log.

    Attributes:
        status: Of the answer.
    """

    def __init__(self, sentence: str, status: int = WRONG_CONTENT) -> None:
        """Args: sentence: why, with the remedy; status: of the answer."""
        super().__init__(sentence)
        self.status = status
