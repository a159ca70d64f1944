#!/usr/bin/env python3
"""ship, index, ask and fetch over the stores besides S3: WebDAV over http and https (wsgidav), and Azure (azurite).
Google Cloud Storage by a stand-in of our own (gcs.py): no emulator in the package indexes knows its XML API. And
ClickHouse and DataFusion over the index in S3 (moto), in place.

usage: stores.py PROGRAM [--azurite MAIN.JS]

The commands are those of docs/fleet.md. Prints "N passed, N failed". Needs the packages of requirements-full.txt, and
for Azure the npm package azurite: its dist/src/blob/main.js.
"""
import argparse
import base64
import datetime
import ipaddress
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from kit import MACHINES as M
from kit import Fleet, Server, check, crash, finish, free_port
from s3 import S3

ONE, OTHER = "null-deref:acme_poll:9f3c21", "bug:acme_put:0a1b2c"


def stores(work):
    """A machine with one crash, and one with a crash whose core goes in parts."""
    at = work / "stores"
    if not at.exists():
        crash(at / "a", "web-1", "20261128T010203Z", ONE, ["acme_poll"])
        crash(at / "b", "web-2", "20261129T020304Z", OTHER, ["acme_put"], os.urandom(20 << 20))
    return at / "a", at / "b"


def all_of_it(name, fleet, bucket, work):
    """Everything that a bucket of a cloud can do."""
    a, b = stores(work)
    cores = ["--machine", M[1], "--cores", "--allow-unsealed"]
    fleet.run("ship", a, "--to", bucket, "--machine", M[0])
    fleet.run("ship", b, "--to", bucket, *cores, "--verify")
    again = fleet.json("ship", b, "--to", bucket, *cores)
    check(f"{name}: a second run sends nothing", (again["bytes"], again["there"]) == (0, 1), again)
    first = fleet.json("index", bucket)
    check(f"{name}: index", (first["added"], first["parts"]) == (2, 2), first)
    second = fleet.json("index", bucket)
    check(f"{name}: index again", (second["added"], second["known"]) == (0, 2), second)
    top = fleet.json("top", "--bucket", bucket)["rows"]
    check(f"{name}: top", sorted(row[0] for row in top) == [OTHER, ONE], top)
    to = work / f"{name}-fetched"
    fleet.run("fetch", OTHER, to, "--core", "--bucket", bucket)
    core = next(b.iterdir()) / "vmcore.elf.zst"
    check(f"{name}: fetch", (to / "vmcore.elf.zst").read_bytes() == core.read_bytes())


def azure(fleet, main, work):
    port = free_port()
    home = work / "azurite"
    home.mkdir()
    command = ["node", main, "--blobPort", port, "--location", home, "--skipApiVersionCheck", "--silent"]
    server = Server(command, port, work / "azurite.log")
    try:
        from azure.storage.blob import BlobServiceClient

        account = "devstoreaccount1"
        key = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
        url = f"http://127.0.0.1:{port}/{account}"
        BlobServiceClient(url, credential=key).create_container("crashes")
        here = fleet.having(
            AZURE_STORAGE_USE_EMULATOR="true",
            AZURITE_BLOB_STORAGE_URL=f"http://127.0.0.1:{port}",
            AZURE_STORAGE_ALLOW_HTTP="true",
            AZURE_STORAGE_ACCOUNT_NAME=account,
            AZURE_STORAGE_ACCOUNT_KEY=key,
        )
        all_of_it("az", here, "az://crashes/fleet", work)
        # Two that write the same part: the second is refused by the server.
        crash(work / "z", "web-3", "20261129T030405Z", ONE, ["acme_poll"])
        here.run("ship", work / "z", "--to", "az://crashes/fleet", "--machine", M[2])
        at_once(here, "az://crashes/fleet")
        wrong = here.having(AZURE_STORAGE_ACCOUNT_KEY=base64.b64encode(b"wrong").decode())
        wrong.complains("az: wrong credentials", "credentials", "index", "az://crashes/fleet")
        here.complains("az: no container", "no such", "ship", stores(work)[0], "--to", "az://missing/x",
                       "--machine", M[0])
    finally:
        server.close()


def google(fleet, work):
    port = free_port()
    server = Server([sys.executable, pathlib.Path(__file__).with_name("gcs.py"), port], port, work / "gcs.log")
    try:
        account = work / "account.json"
        account.write_text(json.dumps({
            "gcs_base_url": f"http://127.0.0.1:{port}", "disable_oauth": True,
            "client_email": "", "private_key": "", "private_key_id": "",
        }))
        here = fleet.having(GOOGLE_SERVICE_ACCOUNT=str(account))
        all_of_it("gs", here, "gs://crashes/fleet", work)
        crash(work / "g", "web-3", "20261129T030405Z", ONE, ["acme_poll"])
        here.run("ship", work / "g", "--to", "gs://crashes/fleet", "--machine", M[2])
        at_once(here, "gs://crashes/fleet")
    finally:
        server.close()


def at_once(fleet, bucket):
    """Two indexers, and one crash that neither has seen."""
    runs = [subprocess.Popen(fleet.command("index", bucket, "--json"), env=fleet.env, stdout=subprocess.PIPE)
            for _ in range(2)]
    added = [json.loads(run.communicate()[0])["added"] for run in runs]
    check("two indexers add a crash once", sorted(added) == [0, 1], added)


def in_place(fleet, work):
    """Two engines read the index of an S3 where it is, as docs/fleet.md says."""
    s3 = S3(work / "moto.log")
    try:
        here, bucket = fleet.having(**s3.env), "s3://crashes/fleet"
        for store, machine in zip(stores(work), M):
            here.run("ship", store, "--to", bucket, "--machine", machine)
        here.run("index", bucket)
        url = s3.env["AWS_ENDPOINT_URL"]
        sql = here.run("top", "--print-sql").stdout.rstrip().rstrip(";")
        from chdb import session

        click = session.Session()
        files = f"{url}/crashes/fleet/v1/index/dt=*/part-*.parquet"
        click.query(f"CREATE VIEW crashes AS SELECT * FROM s3('{files}', 'test', 'test', 'Parquet')")
        rows = [json.loads(line)[0] for line in str(click.query(sql, "JSONCompactEachRow")).splitlines()]
        check("ClickHouse over S3", sorted(rows) == [OTHER, ONE], rows)
        import datafusion
        from datafusion.object_store import AmazonS3

        fusion = datafusion.SessionContext()
        fusion.register_object_store(
            "s3://", AmazonS3("crashes", region="us-east-1", access_key_id="test", secret_access_key="test",
                              endpoint=url, allow_http=True))
        fusion.sql("CREATE EXTERNAL TABLE crashes STORED AS PARQUET LOCATION 's3://crashes/fleet/v1/index/'")
        rows = fusion.sql(sql).to_arrow_table().column(0).to_pylist()
        check("DataFusion over S3", sorted(rows) == [OTHER, ONE], rows)
    finally:
        s3.close()


def certificate(at):
    """A key and a certificate of 127.0.0.1 that signs itself."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "fleet")])
    now, day = datetime.datetime.now(datetime.timezone.utc), datetime.timedelta(days=1)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(now - day).not_valid_after(now + day)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (at / "cert.pem").write_bytes(made.public_bytes(pem))
    (at / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))


def webdav(fleet, work):
    """A server with a password, in clear and by TLS."""
    a, b = stores(work)
    login = {"user_mapping": {"*": {"fleet": {"password": "secret"}}}}
    header = "Basic " + base64.b64encode(b"fleet:secret").decode()
    for scheme in ["http", "https"]:
        at = work / scheme
        root = at / "root"
        root.mkdir(parents=True)
        port = free_port()
        config = {"host": "127.0.0.1", "port": port, "provider_mapping": {"/": str(root)},
                  "simple_dc": login, "http_authenticator": {"accept_basic": True, "accept_digest": False},
                  "verbose": 1}
        env = {"AFTERPANIC_FLEET_AUTHORIZATION": header}
        if scheme == "https":
            certificate(at)
            config.update(ssl_certificate=str(at / "cert.pem"), ssl_private_key=str(at / "key.pem"),
                          ssl_adapter="builtin")
            env["SSL_CERT_FILE"] = str(at / "cert.pem")
        (at / "wsgidav.json").write_text(json.dumps(config))
        server = Server([sys.executable, "-m", "wsgidav.server.server_cli", "-c", at / "wsgidav.json"], port, at / "log")
        try:
            here, bucket = fleet.having(**env), f"{scheme}://127.0.0.1:{port}/fleet/crashes"
            here.run("ship", a, "--to", bucket, "--machine", M[0])
            here.run("ship", b, "--to", bucket, "--machine", M[1], "--cores", "--allow-unsealed")
            again = here.json("ship", b, "--to", bucket, "--machine", M[1], "--cores", "--allow-unsealed")
            check(f"{scheme}: a second run sends nothing", (again["bytes"], again["there"]) == (0, 1), again)
            local = root / "fleet/crashes"
            (core,) = local.rglob("vmcore.elf.zst")
            check(f"{scheme}: the core is the same", core.read_bytes() == next(b.rglob("vmcore*")).read_bytes())
            here.complains(f"{scheme}: index", "no conditional writes", "index", bucket)
            # On the server itself, the directory is the bucket.
            done = fleet.json("index", local)
            check(f"{scheme}: index on the server", done["added"] == 2, done)
            top = here.json("top", "--bucket", bucket)["rows"]
            check(f"{scheme}: top", sorted(row[0] for row in top) == [OTHER, ONE], top)
            here.run("fetch", ONE, at / "fetched", "--bucket", bucket)
            check(f"{scheme}: fetch", (at / "fetched/report.json").exists())
            there = ["ship", a, "--to", bucket, "--machine", M[0]]
            other = "Basic " + base64.b64encode(b"fleet:other").decode()
            here.having(AFTERPANIC_FLEET_AUTHORIZATION=other).complains(
                f"{scheme}: a wrong password", "did not accept the credentials", *there)
            if scheme == "https":
                here.having(SSL_CERT_FILE="/etc/ssl/certs/ca-certificates.crt").complains(
                    "https: a certificate that nobody signed", "certificate", *there)
        finally:
            server.close()


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("program")
    arguments.add_argument("--azurite", type=pathlib.Path)
    options = arguments.parse_args()
    work = pathlib.Path(tempfile.mkdtemp(prefix="fleet-"))
    try:
        fleet = Fleet(options.program, work)
        webdav(fleet, work)
        google(fleet, work)
        in_place(fleet, work)
        if options.azurite:
            azure(fleet, options.azurite, work)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return finish()


if __name__ == "__main__":
    sys.exit(main())
