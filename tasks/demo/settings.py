"""How many images the demo has."""

from typing import Final

N_NO: Final = 98
"""Without a lesion."""
N_YES: Final = 155
"""With one."""
