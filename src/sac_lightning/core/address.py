"""The address of a server, checked at once, before torch is imported."""

import socket

from sac_lightning.core.errors import UserError

LOCAL = ("127.0.0.1", "localhost", "::1")
"""Addresses at which nobody but this machine reaches a server."""
HOST_NAMES = (*LOCAL, "[::1]")
"""What a request to such an address calls it. Under another name, a foreign page could reach it from a browser."""


def refuse_port(port: object) -> None:
    """Raise UserError if a port is no number of one."""
    if type(port) is not int or not 1 <= port <= 65535:
        raise UserError(f"port is {port}: choose a number from 1 to 65535")


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
            f"nothing can be served at {host}:{port} ({error.strerror}): choose another port= or host="
        ) from error
    return bound
