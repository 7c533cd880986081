"""A patient's key as different exports write it: spaces around it and its capitals mean nothing."""

import unicodedata


def folded_key(key: str) -> str:
    """The key without spaces at its ends, in Unicode's composed form and case-folded: `" P-07 "` is `p-07`."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", key).strip().casefold())
