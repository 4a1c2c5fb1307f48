"""What a room, a participant and an entry are. Plain values, no database."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

from optim.challenges.challenge import Challenge
from optim.errors import ConfigError

__all__ = ["Entry", "Participant", "Room", "checked_nickname", "new_code"]

_LETTERS = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
"""What is not mistaken for something else when it is read aloud."""
_NICKNAME = re.compile(r"[\w .'-]{2,24}")


@dataclass(frozen=True)
class Room:
    """A room.

    Attributes:
        code: What one types to get in.
        title: For a reader.
        challenges: What is played for, in order.
        created_at: When, in seconds since 1970.
        frozen_at: Since when nothing can be entered; None while it can.
    """

    code: str
    title: str
    challenges: tuple[Challenge, ...]
    created_at: float
    frozen_at: float | None = None

    @property
    def is_frozen(self) -> bool:
        """Whether nothing can be entered any more."""
        return self.frozen_at is not None

    def challenge(self, name: str) -> Challenge:
        """Return one of its challenges.

        Raises:
            ConfigError: If there is none of that name.
        """
        for challenge in self.challenges:
            if challenge.name == name:
                return challenge
        names = ", ".join(c.name for c in self.challenges)
        raise ConfigError(f"challenge must be one of {names}: got {name!r}.", field="challenge")


@dataclass(frozen=True)
class Participant:
    """Somebody in a room.

    Attributes:
        room: Code of the room.
        key: The nickname in small letters; unique in the room.
        nickname: As they wrote it.
        joined_at: When.
    """

    room: str
    key: str
    nickname: str
    joined_at: float


@dataclass(frozen=True)
class Entry:
    """Something that was entered.

    Attributes:
        run_id: The run that measures it.
        key: Of who entered it.
        challenge: Name of the challenge.
        at: When.
    """

    run_id: str
    key: str
    challenge: str
    at: float


def new_code(length: int = 6) -> str:
    """Return a code that is easy to read aloud and hard to guess."""
    return "".join(secrets.choice(_LETTERS) for _ in range(length))


def checked_nickname(text: str) -> str:
    """Return a nickname without spaces around it.

    Raises:
        ConfigError: If it is too short, too long, or of other signs.
    """
    found = " ".join(text.split())
    if not _NICKNAME.fullmatch(found):
        raise ConfigError(
            f"nickname must be 2 to 24 letters, digits, spaces or . ' - _: got {text[:40]!r}.",
            field="nickname",
        )
    return found
