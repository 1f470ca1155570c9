"""What the sections of the settings have in common."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from streamflow.errors import UsageError


class Section(BaseModel):
    """A section; unknown settings are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def text_of(file: Path, variable: str) -> str:
    """Read a secret from a file, without surrounding white space.

    Raises:
        UsageError: The file cannot be read.
    """
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"The secret in {file} cannot be read: {error}.", hint=f"Correct {variable}."
        ) from error
