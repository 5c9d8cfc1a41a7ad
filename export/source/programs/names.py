"""Names that may stand in generated source: plain words of ASCII, and nothing that Python reads as syntax."""

import keyword
import re

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# A name of a module or weight: ModuleDict takes any key, and a second call of one module is written conv@1.
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_@-]*")
_LONGEST = 1000


def is_identifier(text: str) -> bool:
    """Whether the text is an ASCII identifier, neither a keyword of Python nor a special name such as ``__class__``."""
    return (
        len(text) <= _LONGEST
        and _IDENTIFIER.fullmatch(text) is not None
        and not keyword.iskeyword(text)
        and not is_special(text)
    )


def is_dotted(text: str) -> bool:
    """Whether the text is a path of module or weight names: words of letters, digits, ``_``, ``-`` and ``@`` between dots."""
    parts = text.split(".")
    return len(text) <= _LONGEST and all(_PART.fullmatch(part) and not is_special(part) for part in parts)


def is_special(text: str) -> bool:
    """Whether Python gives the name a meaning: two underscores at both ends."""
    return text.startswith("__") and text.endswith("__")
