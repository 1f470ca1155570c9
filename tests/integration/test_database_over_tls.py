"""Every connection to PostgreSQL can be encrypted, and prove who answers: on a real server with TLS."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import os
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import psycopg
import psycopg2
import pytest
import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from streamflow.backup import dump
from streamflow.errors import UsageError
from streamflow.local import home
from streamflow.predict.features.connections import Connection
from streamflow.settings import DatabaseSettings

PASSWORD = "a secret"
# What the chart gives its server.
CHART = Path(__file__).resolve().parents[2] / "charts" / "streamflow" / "templates" / "postgresql"
HBA = textwrap.dedent(
    (CHART / "access.yaml").read_text().partition("pg_hba.conf: |\n")[2].partition("{{-")[0]
)
_HELPERS = (CHART / "_env.tpl").read_text()
PROBE = re.search(r'"streamflow.postgresqlProbe" -}}\n{{ \. }}(.*?){{- end', _HELPERS, re.DOTALL)[1]
NAME, ADDRESS = "localhost", "127.0.0.1"


def programs():
    """Folder of a PostgreSQL server that was built with OpenSSL, which the wheel's was not."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    places = [*reversed(found), *([Path(shutil.which("postgres"))] if shutil.which("postgres") else [])]
    for path in places:
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            shown = subprocess.run(
                [path.resolve().parent / "pg_config", "--configure"],
                capture_output=True,
                text=True,
                check=True,
            )
            if "openssl" in shown.stdout:
                return path.resolve().parent
    return None


def authority(name):
    """A certificate authority: its key and certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return key, _certificate(subject, subject, key.public_key(), key, ca=True)


def certificate(name, issuer):
    """A server's key and certificate for a DNS name."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return key, _certificate(subject, issuer[1].subject, key.public_key(), issuer[0], names=[name])


def _certificate(subject, issuer, public, signer, *, ca=False, names=()):
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=2))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False
        )
    return builder.sign(signer, hashes.SHA256())


def pem(part):
    if isinstance(part, x509.Certificate):
        return part.public_bytes(serialization.Encoding.PEM)
    return part.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@dataclass(frozen=True)
class Server:
    """A server that answers on loopback."""

    folder: Path
    port: int
    binaries: Path
    authority: tuple
    who: dict[str, str]


@pytest.fixture(scope="module")
def server():
    """A server with what the chart gives its own: over the network, it takes TLS alone."""
    binaries = programs()
    if binaries is None:
        pytest.skip(
            "There is no PostgreSQL with OpenSSL (Debian: apt-get install postgresql): TLS is NOT tested."
        )
    folder = Path(tempfile.mkdtemp(prefix="tls-"))
    issuer = authority("ours")
    key, own = certificate(NAME, issuer)
    for name, content in {
        "ca.crt": pem(issuer[1]),
        "other.crt": pem(authority("another")[1]),
        "tls.crt": pem(own),
        "tls.key": pem(key),
        "pg_hba.conf": HBA.encode(),
        "password": PASSWORD.encode(),
    }.items():
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o600)
    who = {}
    if os.geteuid() == 0:
        # PostgreSQL refuses to run as root.
        shutil.chown(folder, "nobody")
        for path in folder.iterdir():
            shutil.chown(path, "nobody")
        who = {"user": "nobody"}
    options = ["--username=postgres", f"--pwfile={folder / 'password'}", "--auth=scram-sha-256", "--no-sync"]
    subprocess.run(
        [binaries / "initdb", "-D", folder / "data", *options], check=True, capture_output=True, **who
    )
    with home.choosing_ports():
        port = home.free_port(15532)
        arguments = {
            "port": port,
            "listen_addresses": ADDRESS,
            "unix_socket_directories": folder,
            "fsync": "off",
            "ssl": "on",
            "ssl_cert_file": folder / "tls.crt",
            "ssl_key_file": folder / "tls.key",
            "hba_file": folder / "pg_hba.conf",
        }
        command = [binaries / "postgres", "-D", folder / "data"]
        command += [part for name, value in arguments.items() for part in ("-c", f"{name}={value}")]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, **who)
        try:
            while not (folder / f".s.PGSQL.{port}").exists() or not _answers(folder, port):
                assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.05)
        except BaseException:
            process.kill()
            raise
    yield Server(folder, port, binaries, issuer, who)
    process.terminate()
    process.wait()
    shutil.rmtree(folder)


def _answers(folder, port):
    with contextlib.suppress(psycopg.OperationalError):
        psycopg.connect(host=str(folder), port=port, user="postgres", dbname="postgres").close()
        return True
    return False


@pytest.fixture
def database(server, monkeypatch):
    """Settings that check everything, with the right root certificate."""
    monkeypatch.setenv("PGSSLROOTCERT", str(server.folder / "ca.crt"))
    monkeypatch.setenv("HOME", str(server.folder / "nobody-lives-here"))
    return DatabaseSettings(
        host=NAME,
        port=server.port,
        name="postgres",
        user="postgres",
        password=SecretStr(PASSWORD),
        sslmode="verify-full",
    )


QUESTION = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


def by_sqlalchemy(database):
    # A pool would give back a connection that was made before.
    pool = sa.create_engine(database.url(), poolclass=sa.NullPool)
    with pool.connect() as connection:
        return connection.execute(sa.text(QUESTION)).scalar_one()


def by_mlflow(database):
    """MLflow's server gets this URL."""
    pool = sa.create_engine(database.url("postgresql+psycopg2"), poolclass=sa.NullPool)
    with pool.connect() as connection:
        return connection.execute(sa.text(QUESTION)).scalar_one()


def by_predict(database):
    async def ask():
        connection = Connection(database)
        try:
            # `fetch` would replace the reason by a problem for the client.
            opened = await connection._open(asyncio.get_running_loop().time() + 5)
            return await opened.fetchval(QUESTION)
        finally:
            connection.drop()

    return asyncio.run(ask())


def by_client_program(database):
    """As `backup` calls pg_dump; psql alone can ask the question."""
    done = dump.run(
        database, "psql", "--no-psqlrc", "--tuples-only", "--no-align", "--command", QUESTION, database.name
    )
    if done.returncode:
        raise ConnectionError(done.stderr)
    return done.stdout.strip() == "t"


WAYS = [by_sqlalchemy, by_mlflow, by_predict, by_client_program]
FAILURES = (
    sa.exc.OperationalError,
    psycopg.OperationalError,
    psycopg2.OperationalError,
    asyncpg.PostgresError,
    OSError,
)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("sslmode", ["verify-full", "verify-ca", "require", "prefer"])
def test_a_connection_is_encrypted(way, sslmode, database):
    assert way(database.model_copy(update={"sslmode": sslmode})) is True


@pytest.mark.parametrize("way", WAYS)
def test_a_server_of_another_name_is_refused(way, database):
    with pytest.raises(FAILURES, match=r"(?i)certificate|host ?name"):
        way(database.model_copy(update={"host": ADDRESS}))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("sslmode", ["verify-full", "verify-ca"])
def test_a_certificate_of_another_authority_is_refused(way, sslmode, database, server, monkeypatch):
    monkeypatch.setenv("PGSSLROOTCERT", str(server.folder / "other.crt"))
    with pytest.raises(FAILURES, match=r"(?i)certificate"):
        way(database.model_copy(update={"sslmode": sslmode}))


@pytest.mark.parametrize("way", WAYS)
def test_the_server_refuses_what_is_not_encrypted(way, database):
    with pytest.raises(FAILURES, match=r"no pg_hba\.conf entry"):
        way(database.model_copy(update={"sslmode": "disable"}))


def test_a_missing_root_certificate_is_an_error_that_names_it(database, server, monkeypatch):
    monkeypatch.setenv("PGSSLROOTCERT", str(server.folder / "missing.crt"))
    with pytest.raises(UsageError, match=r"missing\.crt"):
        by_client_program(database)


def test_a_dump_over_tls_is_whole(database, tmp_path):
    """More than the relay's buffers hold, in both directions."""
    with psycopg.connect(database.url("postgresql")) as connection:
        connection.execute(
            "CREATE TABLE much AS SELECT n, repeat(md5(n::text), 40) AS text FROM generate_series(1, 5000) AS n"
        )
    file = tmp_path / "dump"
    done = dump.run(database, "pg_dump", "--format=custom", "--table=much", f"--file={file}", database.name)
    assert done.returncode == 0, done.stderr
    with psycopg.connect(database.url("postgresql"), autocommit=True) as connection:
        digest = "SELECT count(*), md5(string_agg(text, '' ORDER BY n)) FROM much"
        before = connection.execute(digest).fetchone()
        connection.execute("DROP TABLE much")
        # A server before 17 does not know a setting that pg_restore 18 begins with, and goes on without it.
        dump.run(database, "pg_restore", f"--dbname={database.name}", str(file))
        assert connection.execute(digest).fetchone() == before


def test_a_server_without_tls_is_refused_unless_the_mode_lets_it(settings):
    """The embedded server has none."""
    plain = settings.database.model_copy(update={"sslmode": "prefer"})
    assert dump.run(plain, "psql", "--command", "SELECT 1", plain.name).returncode == 0
    done = dump.run(
        plain.model_copy(update={"sslmode": "require"}), "psql", "--command", "SELECT 1", plain.name
    )
    assert done.returncode != 0
    assert "offers no TLS" in done.stderr


def test_a_server_that_is_down_is_an_error_that_names_it(database):
    with home.choosing_ports():
        port = home.free_port(15632)
    down = database.model_copy(update={"port": port})
    with pytest.raises(ConnectionError, match=rf"localhost:{port}: .*(?i:refused)"):
        by_client_program(down)


def presented(server):
    """Serial number of the certificate that the server presents now."""
    shown = ssl.create_default_context(cafile=server.folder / "ca.crt")
    shown.verify_flags &= ~ssl.VERIFY_X509_STRICT
    with socket.create_connection((NAME, server.port)) as wire:
        wire.sendall(bytes.fromhex("0000000804d2162f"))
        assert wire.recv(1) == b"S"
        with shown.wrap_socket(wire, server_hostname=NAME) as encrypted:
            return int(encrypted.getpeercert()["serialNumber"], 16)


def probe(server):
    """Run the chart's probe of its server, where this one has its files."""
    paths = {
        "/run/secrets/tls": server.folder,
        "/var/run/postgresql": server.folder,
        "psql ": f"psql --port={server.port} ",
    }
    command = f"true{PROBE}"
    for theirs, ours in paths.items():
        assert theirs in command
        command = command.replace(theirs, str(ours))
    environment = {"PATH": os.pathsep.join([str(server.binaries), os.environ["PATH"]])}
    subprocess.run(["sh", "-c", command], env=environment, check=True, capture_output=True, **server.who)


def test_a_renewed_certificate_is_loaded_by_the_probe_and_only_then(server):
    probe(server)
    loaded = (server.folder / "tls-loaded").stat().st_mtime_ns
    probe(server)
    assert (server.folder / "tls-loaded").stat().st_mtime_ns == loaded, "nothing changed"
    before = presented(server)
    key, renewed = certificate(NAME, server.authority)
    for name, part in {"tls.key": key, "tls.crt": renewed}.items():
        (server.folder / name).write_bytes(pem(part))
    later = time.time_ns() + 10**9
    os.utime(server.folder / "tls.crt", ns=(later, later))
    assert presented(server) == before
    probe(server)
    # The server reloads asynchronously.
    while presented(server) != renewed.serial_number:
        time.sleep(0.05)
