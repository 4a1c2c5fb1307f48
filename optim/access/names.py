"""Ids of users and guests, and names that nobody can guess.

All are made with a secret of the server: who knows what went into a name, even the whole content of
a file, still cannot say the name.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from optim.errors import RunError
from optim.hashing import digest
from optim.storage import store_home

__all__ = ["capability", "guest_id", "user_id"]

_SECRET_BYTES = 32
_ID_DIGITS = 16


def capability(*parts: str) -> str:
    """Return a name that can be told only by this server: the same parts give the same name.

    Returns:
        32 hexadecimal digits (128 bits).

    Raises:
        RunError: If the server's secret can be neither read nor made.
    """
    return hmac.new(_secret(), digest(*parts).encode(), hashlib.sha256).hexdigest()[:32]


def user_id(issuer: str, subject: str) -> str:
    """Return the id of who has signed in: the same in every session, and no name or address."""
    return f"user-{capability('user', issuer, subject)[:_ID_DIGITS]}"


def guest_id(token: str) -> str:
    """Return the id of a browser that nobody has signed in with.

    Args:
        token: What the browser shows to be the same one again; it cannot be told from the id.
    """
    return f"guest-{capability('guest', token)[:_ID_DIGITS]}"


def _secret() -> bytes:
    path = store_home() / "secret"
    try:
        found = path.read_bytes() if path.is_file() else _made(path)
    except OSError as error:
        raise RunError(
            f"The server's secret cannot be used: {error.strerror}.",
            hint="Make the folder that OPTIM_HOME names writable.",
        ) from error
    if len(found) != _SECRET_BYTES:
        raise RunError(
            "The server's secret is damaged.",
            hint="Remove the file 'secret' from the store; owners of uploads are then forgotten.",
        )
    return found


def _made(path: Path) -> bytes:
    """Make the secret, or return the one that another process has just made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".secret.{secrets.token_hex(6)}"
    # Readable for nobody else from its first moment on.
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secrets.token_bytes(_SECRET_BYTES))
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
    return path.read_bytes()
