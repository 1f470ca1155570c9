"""Settings of the erasure of persons and of old months."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr

from streamflow.settings.section import Section, text_of


class ErasureSettings(Section):
    """Erasure of a person, and the list of erasures."""

    key: SecretStr = SecretStr("")
    """Secret key of the hashes by which erasures name people; `key_file` is safer. Never change it once it was used."""
    key_file: Path | None = None
    """File with that key; overrides `key`."""
    request_file: Path | None = None
    """File that tells the job `erase` whom to erase, and why; without it, the job completes what was cut short."""

    @property
    def secret(self) -> str:
        """The key in plain text; empty without one."""
        if self.key_file is None:
            return self.key.get_secret_value()
        return text_of(self.key_file, "STREAMFLOW_ERASURE__KEY_FILE")


class RetentionSettings(Section):
    """How long data are kept."""

    months: int | None = Field(None, ge=1)
    """Months to keep, counted back from that of the newest drop; the job `retention` drops older ones. None keeps all."""
