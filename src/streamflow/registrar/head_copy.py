"""The copy of the newest signed head outside the databases: in a file or in a ConfigMap."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from streamflow.cluster.jobs import Cluster
from streamflow.errors import NotFound, StreamFlowError
from streamflow.registry import heads
from streamflow.registry.heads import Head
from streamflow.settings import PromotionSettings

HEAD, PUBLIC_KEY = "head.json", "public-key.pem"


class HeadCopy(Protocol):
    """A place outside the databases that holds one signed head."""

    def read(self) -> str:
        """The JSON object of the head; "" when there is none yet.

        Raises:
            StreamFlowError: The place cannot be read.
        """

    def write(self, head: Head) -> None:
        """Replace the head, and the public key beside it.

        Raises:
            StreamFlowError: The place cannot be written to.
        """


def chosen(promotion: PromotionSettings) -> HeadCopy | None:
    """The place that the settings name; None when they name none."""
    if promotion.head_config_map:
        return _InConfigMap(promotion.head_config_map)
    return _InFile(promotion.head_file) if promotion.head_file else None


class _InFile:
    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> str:
        try:
            return self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError) as error:
            raise StreamFlowError(
                f"The copy of the signed head in {self._path} cannot be read: {error}."
            ) from error

    def write(self, head: Head) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            for path, text in (
                (self._path.with_name(PUBLIC_KEY), heads.pem_of(head.public_key)),
                (self._path, heads.to_json(head)),
            ):
                new = path.with_name(path.name + ".new")
                new.write_text(text, encoding="utf-8")
                new.replace(path)
        except OSError as error:
            raise StreamFlowError(
                f"The copy of the signed head in {self._path} cannot be written: {error.strerror}."
            ) from error


class _InConfigMap:
    def __init__(self, name: str) -> None:
        self._name = name

    def read(self) -> str:
        try:
            return Cluster().config_map(self._name).get(HEAD, "")
        except NotFound:
            return ""

    def write(self, head: Head) -> None:
        data = {HEAD: heads.to_json(head), PUBLIC_KEY: heads.pem_of(head.public_key)}
        Cluster().write_config_map(self._name, data)
