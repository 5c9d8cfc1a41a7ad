"""Every spelling by name."""

from __future__ import annotations

from collections.abc import Mapping

from .case import Case
from .spellings.aggregation import Predicted
from .spellings.base import Spelling
from .spellings.correlation import CostVolume
from .spellings.decoys import Decoy, Gathered, Halo
from .spellings.first import ChannelsFirst
from .spellings.last import ChannelsLast
from .spellings.outlook import Outlook
from .spellings.running import Running
from .spellings.shared import SharedByChannels

SPELLINGS: Mapping[str, type[Spelling]] = {
    "channels first": ChannelsFirst,
    "channels last": ChannelsLast,
    "shared by channels": SharedByChannels,
    "running": Running,
    "predicted weights": Predicted,
    "cost volume": CostVolume,
    "outlook": Outlook,
    "decoy": Decoy,
    "decoy: gathered": Gathered,
    "decoy: halo": Halo,
}


def build(case: Case) -> Spelling:
    """The module of a case."""
    return SPELLINGS[case.spelling](case)
