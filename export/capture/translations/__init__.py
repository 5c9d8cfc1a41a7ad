"""Translations of ATen operators that torch.onnx does not translate as this package needs it, one file for each family."""

from .angle import ANGLE
from .antialias import ANTIALIAS
from .corrected import CORRECTED
from .domain_operators import DOMAIN_OPERATORS
from .linear_systems import LINEAR_SYSTEMS
from .missing import MISSING
from .numbers import NUMBERS
from .order import ORDER
from .pooling import POOLING
from .shared import Translations

TRANSLATIONS: Translations = {
    **CORRECTED, **ANGLE, **POOLING, **ANTIALIAS, **MISSING, **ORDER, **LINEAR_SYSTEMS, **NUMBERS, **DOMAIN_OPERATORS,
}  # fmt: skip
"""The table for ``torch.onnx.export(custom_translation_table=...)``. The schemas of the domain must be registered before it is used."""
