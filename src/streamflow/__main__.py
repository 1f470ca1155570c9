"""The program `streamflow`.

`streamflow serve predict` is handled before the command line is imported: the predict image has none of its
libraries, and the service starts sooner and smaller without them.
"""

import sys


def main() -> None:
    """Entry point of the console script and of `python -m streamflow`."""
    if sys.argv[1:] == ["serve", "predict"]:
        # structlog imports rich where it is installed, for coloured tracebacks that no server prints: a fifth of
        # the CPU that a start takes. None makes the import fail, and structlog goes without.
        sys.modules["rich"] = None  # type: ignore[assignment]
        from streamflow.predict import starting

        sys.exit(starting.main())
    try:
        from streamflow.cli.main import main as command_line
    except ModuleNotFoundError as error:
        if error.name != "typer":
            raise
        sys.exit(
            "Only 'streamflow serve predict' is installed here; the command line needs streamflow[platform]."
        )
    command_line()


if __name__ == "__main__":
    main()
