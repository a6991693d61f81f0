"""The address of the page, checked at once, before torch is imported."""

import socket

from sac_lightning.core.errors import UserError


def bind_socket(host: str, port: int) -> socket.socket:
    """Bind a socket to an address.

    Raises:
        UserError: The port is taken, or this machine does not have the address.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise UserError(f"host={host} is no address: choose 127.0.0.1, or one of this machine") from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise UserError(
            f"the page cannot be served at {host}:{port} ({error.strerror}): choose another port= or host="
        ) from error
    return bound
