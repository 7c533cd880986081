"""URLs of stores hold no secrets: they stand in forms, in a server's database, in records and in messages."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, Field

_NAMES: Final = (
    "sig|Sig|SIG|sv|signature|Signature|token|Token|access_token|api_key|apikey|AccountKey|SharedAccessSignature|"
    "password|Password|secret|Secret|[Xx]-[Aa][Mm][Zz]-[A-Za-z-]+"
)
NO_SECRET: Final = rf"^(?!.*://[^/@]*:[^/@]*@)(?!.*[?&;]({_NAMES})=)"
"""What every such URL matches, here and in a form of the browser: no password before the host, no signature behind."""

_PATTERN: Final = re.compile(NO_SECRET, re.DOTALL)


def holds_secret(url: str) -> bool:
    """Whether a URL holds credentials: a password, a signature, a token."""
    return _PATTERN.match(url) is None


def without_secret(url: str) -> str:
    """A URL that holds none, as it was given.

    Raises:
        ValueError: it holds one; the text does not repeat it.
    """
    if holds_secret(url):
        raise ValueError(
            "the URL holds credentials; name a block that keeps them, or give them by the environment"
        )
    return url


StoreUrl = Annotated[str, AfterValidator(without_secret), Field(json_schema_extra={"pattern": NO_SECRET})]
"""URL of a store or path of a folder, in a form."""
