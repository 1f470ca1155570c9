"""Feast's command line, with logs that name no customer: Feast's server logs exceptions with their messages.

python -m streamflow.features.feast_cli -c feature_repo serve
"""

from __future__ import annotations

from streamflow import log


def main() -> None:
    """Run Feast's command line; the processes that it forks hide messages too."""
    log.hide_messages()
    from feast.cli.cli import cli

    cli(prog_name="feast")


if __name__ == "__main__":
    main()
