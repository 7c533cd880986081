"""How many images the demo has, and where it says what they are."""

from typing import Final

N_NO: Final = 98
"""Without a lesion."""
N_YES: Final = 155
"""With one."""
RECORD_FILE: Final = "demo.json"
"""Below the folder of the data: what each file is."""
