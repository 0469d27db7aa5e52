"""Page sizes and page tokens of the List calls."""

from __future__ import annotations

from oncue_engine.errors import InvalidRequest

__all__ = ["MAX_PAGE_SIZE", "page_size", "start_of_page", "token_after"]

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 200


def page_size(asked: int) -> int:
    """The number of items to answer with. Raises InvalidRequest (PAGE_SIZE_INVALID) for a negative size."""
    if asked < 0:
        raise InvalidRequest(
            "page_size must not be negative",
            reason="PAGE_SIZE_INVALID",
            field="page_size",
            metadata={"min": "0", "max": str(MAX_PAGE_SIZE)},
        )
    return min(asked or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)


def token_after(id_: str) -> str:
    """The opaque token of the page that begins after this id."""
    return id_.encode().hex()


def start_of_page(token: str) -> str:
    """The id that the page begins after; empty for the first page. Raises InvalidRequest (PAGE_TOKEN_INVALID)."""
    try:
        return bytes.fromhex(token).decode()
    except ValueError:
        raise InvalidRequest("not a token of this server", reason="PAGE_TOKEN_INVALID", field="page_token") from None
