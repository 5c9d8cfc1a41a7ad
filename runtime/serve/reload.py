"""SIGHUP: bundles that have changed become new versions of their models, while the old ones serve.

A new version is loaded under another name first and held to its golden inputs through the wire. It takes the place of the old
one only then, so nobody is answered by a version that answers wrongly.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ...errors import AttnexportError, StageError
from ..triton.options import RepositoryOptions
from ..triton.repository import write_repository
from .admin import Admin
from .gate import ReadinessGate
from .log import Log
from .run_folder import RunFolder
from .verify import CLIENT_ROLES, DeployedModel, digest_of


class Reloader:
    """Of one running server. ``admin`` connects to it, ``prove`` raises ParityError or StageError for subjects that answer wrongly."""

    def __init__(
        self,
        folder: RunFolder,
        models: RepositoryOptions,
        gate: ReadinessGate,
        admin: Callable[[], Admin],
        prove: Callable[[Sequence[DeployedModel]], None],
        say: Log,
    ) -> None:
        self._folder, self._models, self._gate = folder, models, gate
        self._admin, self._prove, self._say = admin, prove, say

    def reload(self, served: Sequence[DeployedModel]) -> list[DeployedModel]:
        """What is served from now on. A bundle that cannot be is said, and its old version stays."""
        result: list[DeployedModel] = []
        for bundle in dict.fromkeys(subject.written.bundle for subject in served):
            old = [subject for subject in served if subject.written.bundle == bundle]
            name, version = next((s.written.name, s.written.version) for s in old if s.written.role in CLIENT_ROLES)
            try:
                if digest_of(bundle) == old[0].digest:
                    self._say(
                        "info", "unchanged", f"{bundle} is as it was; version {version} of {name} serves on", model=name
                    )
                    result += old
                    continue
                self._try(bundle, name, served)
                fresh = self._exchange(bundle)
            except (AttnexportError, OSError) as error:
                problem = error.problem if isinstance(error, AttnexportError) else str(error)
                self._say(
                    "error", "refused", f"{problem}; version {version} of {name} serves on", model=name, version=version
                )
                result += old
            else:
                version = fresh[0].written.version
                self._say("info", "reloaded", f"{name} version {version} from {bundle}", model=name, version=version)
                result += fresh
        return result

    def _try(self, bundle: Path, name: str, served: Sequence[DeployedModel]) -> None:
        """Load the bundle beside what is served, and prove it; nothing of it stays."""
        models = replace(self._models, name=f"{name}_candidate")
        subjects = [DeployedModel(model) for model in write_repository([bundle], self._folder.candidates, models)]
        names = [subject.written.name for subject in subjects]
        try:
            with self._admin() as admin:
                for one in names:
                    admin.load(one)
            self._prove(subjects)
        finally:
            with self._admin() as admin:
                for one in reversed(names):
                    with suppress(StageError):
                        admin.unload(one)
                shutil.rmtree(self._folder.candidates)
                self._folder.candidates.mkdir()
                if not admin.ready():
                    for one in names:
                        self._gate.forgive(admin, one, served[0].config)

    def _exchange(self, bundle: Path) -> list[DeployedModel]:
        """Add the version, and let it take over; where that fails it is removed again."""
        before = {path: path.read_bytes() for path in self._folder.repository.glob("*/config.pbtxt")}
        subjects = [DeployedModel(model) for model in write_repository([bundle], self._folder.repository, self._models)]
        try:
            with self._admin() as admin:
                for subject in subjects:
                    admin.load(subject.written.name)
            self._prove(subjects)
        except AttnexportError:
            for subject in subjects:
                shutil.rmtree(subject.written.folder / str(subject.written.version))
                config = subject.written.folder / "config.pbtxt"
                config.write_bytes(before[config])
            with self._admin() as admin:
                for subject in subjects:
                    admin.load(subject.written.name)
            raise
        return subjects
