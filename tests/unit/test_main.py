"""The program's entry: predict starts without the command line, everything else is the command line."""

import subprocess
import sys
import textwrap

import pytest

HEAVY = {"typer", "rich", "pandas", "sqlalchemy", "feast", "mlflow", "sklearn", "streamflow.cli"}


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(code), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_predict_is_served_without_the_command_line_and_its_libraries():
    done = python(
        """
        import sys
        from streamflow import __main__ as program
        from streamflow.predict import server
        server.run = lambda settings, first: print(settings.predict.port, *(m for m in sys.modules if sys.modules[m]))
        sys.argv = ["streamflow", "serve", "predict"]
        program.main()
        """
    )
    assert done.returncode == 0, done.stderr
    port, *modules = done.stdout.split()
    assert port == "8000"
    assert not HEAVY & set(modules)


@pytest.mark.parametrize("arguments", [["--help"], ["serve", "mlflow"]])
def test_where_only_predict_is_installed_the_rest_says_so(arguments):
    done = python(
        f"""
        import sys
        sys.modules["typer"] = None
        from streamflow.__main__ import main
        sys.argv = ["streamflow", *{arguments!r}]
        main()
        """
    )
    assert done.returncode == 1
    assert done.stderr == (
        "Only 'streamflow serve predict' is installed here; the command line needs streamflow[platform].\n"
    )


def test_an_error_of_the_settings_is_a_message_and_an_exit_code(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "streamflow", "serve", "predict"],
        env={"STREAMFLOW_PREDICT__PORT": "none", "STREAMFLOW_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert "PORT" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_servers_are_listed_in_the_help():
    done = subprocess.run(
        [sys.executable, "-m", "streamflow", "serve", "--help"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0
    for server in ("predict", "mlflow", "feast", "exporter"):
        assert f" {server} " in done.stdout
