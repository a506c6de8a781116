"""Every error that the platform raises, with the HTTP status that it becomes.

RefiError 500
|-- Invalid 422            a value is malformed or outside what is allowed
|-- Unauthorized 401       nobody is signed in, or the proof of it is not good
|-- Forbidden 403          signed in, but the role is missing
|-- NotFound 404           no such thing, or not yours to see
|-- Conflict 409           the state of things does not allow it
|-- TooLarge 413           the body is larger than allowed
|-- TooMany 429            the rate limit is used up
`-- Unavailable 503        a part that must answer does not: the gate stays closed
    `-- Tampered 503       a part answered with something that is provably not what was asked for

A refused order is not an error: see `backend.kernel.refusal`.
"""

from http import HTTPStatus
from typing import ClassVar


class RefiError(Exception):
    """A fault with a message for people and a status for machines."""

    status: ClassVar[HTTPStatus] = HTTPStatus.INTERNAL_SERVER_ERROR
    code: ClassVar[str] = "internal"

    def __init__(self, detail: str, **context: object) -> None:
        super().__init__(detail)
        self.detail = detail
        self.context = context


class Invalid(RefiError):
    """A value is malformed or outside what is allowed."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    code = "invalid"


class Unauthorized(RefiError):
    """Nobody is signed in, or the proof of it is not good."""

    status = HTTPStatus.UNAUTHORIZED
    code = "unauthorized"


class Forbidden(RefiError):
    """The caller is known but may not do this."""

    status = HTTPStatus.FORBIDDEN
    code = "forbidden"


class NotFound(RefiError):
    """There is no such thing, or the caller may not know of it."""

    status = HTTPStatus.NOT_FOUND
    code = "not_found"


class Conflict(RefiError):
    """The state of things does not allow it."""

    status = HTTPStatus.CONFLICT
    code = "conflict"


class TooLarge(RefiError):
    """The body is larger than allowed."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    code = "too_large"


class TooMany(RefiError):
    """The rate limit is used up."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    code = "too_many"


class Unavailable(RefiError):
    """A part that must answer does not."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "unavailable"


class Tampered(Unavailable):
    """A part answered with something that is provably not what was asked for."""

    code = "tampered"
