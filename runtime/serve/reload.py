"""SIGHUP: bundles that have changed become new versions of their models, while the old ones serve.

A new version is first loaded under another name and verified. Only then does it replace the old
one, so no client gets a wrong answer.
"""

import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ...errors import AttnexportError, StageError
from ..triton.options import RepositoryOptions
from ..triton.repository import write_repository
from .client import Admin
from .deployed_model import CLIENT_ROLES, DeployedModel, digest_of
from .gate import ReadinessGate
from .log import Log
from .run_folder import RunFolder


class Reloader:
    """Reloads the bundles of a running server.

    ``admin`` connects to the server; ``verify`` raises ParityError or StageError for models with
    wrong answers.
    """

    def __init__(
        self,
        folder: RunFolder,
        options: RepositoryOptions,
        gate: ReadinessGate,
        admin: Callable[[], Admin],
        verify: Callable[[Sequence[DeployedModel]], None],
        log: Log,
    ) -> None:
        self._folder, self._options, self._gate = folder, options, gate
        self._admin, self._verify, self._log = admin, verify, log

    def reload(self, served: Sequence[DeployedModel]) -> list[DeployedModel]:
        """Return the models that are served from now on. A bundle that is refused is logged, and its old version stays."""
        result: list[DeployedModel] = []
        for bundle in dict.fromkeys(model.written.bundle for model in served):
            old = [model for model in served if model.written.bundle == bundle]
            name, version = next((s.written.name, s.written.version) for s in old if s.written.role in CLIENT_ROLES)
            try:
                if digest_of(bundle) == old[0].digest:
                    self._log(
                        "info", "unchanged", f"{bundle} is unchanged; version {version} of {name} stays", model=name
                    )
                    result += old
                    continue
                self._try(bundle, name, served)
                fresh = self._exchange(bundle)
            except (AttnexportError, OSError) as error:
                problem = error.problem if isinstance(error, AttnexportError) else str(error)
                self._log(
                    "error", "refused", f"{problem}; version {version} of {name} stays", model=name, version=version
                )
                result += old
            else:
                version = fresh[0].written.version
                self._log("info", "reloaded", f"{name} version {version} from {bundle}", model=name, version=version)
                result += fresh
        return result

    def _try(self, bundle: Path, name: str, served: Sequence[DeployedModel]) -> None:
        """Load the bundle under another name, verify it, and unload it."""
        options = replace(self._options, name=f"{name}_candidate")
        models = [DeployedModel(model) for model in write_repository([bundle], self._folder.candidates, options)]
        names = [model.written.name for model in models]
        try:
            with self._admin() as admin:
                for candidate in names:
                    admin.load(candidate)
            self._verify(models)
        finally:
            with self._admin() as admin:
                for candidate in reversed(names):
                    with suppress(StageError):
                        admin.unload(candidate)
                shutil.rmtree(self._folder.candidates)
                self._folder.candidates.mkdir()
                if not admin.ready():
                    for candidate in names:
                        self._gate.forgive(admin, candidate, served[0].config)

    def _exchange(self, bundle: Path) -> list[DeployedModel]:
        """Add the new version and serve it; if that fails, remove it again."""
        before = {path: path.read_bytes() for path in self._folder.repository.glob("*/config.pbtxt")}
        models = [DeployedModel(model) for model in write_repository([bundle], self._folder.repository, self._options)]
        try:
            with self._admin() as admin:
                for model in models:
                    admin.load(model.written.name)
            self._verify(models)
        except AttnexportError:
            for model in models:
                shutil.rmtree(model.written.folder / str(model.written.version))
                config = model.written.folder / "config.pbtxt"
                config.write_bytes(before[config])
            with self._admin() as admin:
                for model in models:
                    admin.load(model.written.name)
            raise
        return models
