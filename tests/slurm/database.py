"""The daemons that a Slurm with accounting has more: MariaDB and slurmdbd."""

from __future__ import annotations

from pathlib import Path

from slurm.configuration import munge_socket, write_values
from slurm.daemons import Daemons, host


def start_database(folder: Path, port: int, daemons: Daemons) -> None:
    """Start MariaDB, with an empty database for slurmdbd.

    Args:
        folder: of the Slurm.
        port: the first of its ports.
        daemons: to which it is added.

    Raises:
        DaemonError: it does not start.
    """
    data, socket = folder / "mysql", folder / "run" / "mysql.sock"
    if not data.exists():
        data.mkdir()
        daemons.run(
            "mysql_install_db", "--user=root", f"--datadir={data}", "--skip-test-db",
            "--auth-root-authentication-method=normal",
        )  # fmt: skip
    daemons.spawn(
        "mariadbd", "mariadbd", "--no-defaults", "--user=root", f"--datadir={data}",
        f"--socket={socket}", f"--pid-file={folder}/run/mariadbd.pid",
        "--bind-address=127.0.0.1", f"--port={port + 2}",
        "--innodb-buffer-pool-size=64M", "--innodb-lock-wait-timeout=900",
    )  # fmt: skip
    client = ("mysql", "--no-defaults", "-u", "root", "-S", str(socket), "-e")
    daemons.wait(lambda: daemons.succeeds(*client, "SELECT 1"), "mariadbd")
    daemons.run(
        *client,
        "CREATE DATABASE IF NOT EXISTS accounting; "
        "CREATE USER IF NOT EXISTS 'slurm'@'127.0.0.1' IDENTIFIED BY 'slurm'; "
        "CREATE USER IF NOT EXISTS 'slurm'@'localhost' IDENTIFIED BY 'slurm'; "
        "GRANT ALL ON accounting.* TO 'slurm'@'127.0.0.1'; "
        "GRANT ALL ON accounting.* TO 'slurm'@'localhost';",
    )


def start_accounting(folder: Path, port: int, daemons: Daemons) -> None:
    """Start slurmdbd, with a cluster, an account and this user.

    Args:
        folder: of the Slurm.
        port: the first of its ports.
        daemons: to which it is added.

    Raises:
        DaemonError: it does not start.
    """
    conf = folder / "slurmdbd.conf"
    write_values(
        conf,
        {
            "AuthType": "auth/munge",
            "AuthInfo": f"socket={munge_socket(folder)}",
            "DbdHost": host(),
            "DbdAddr": "127.0.0.1",
            "DbdPort": port + 1,
            "SlurmUser": "root",
            "LogFile": folder / "log" / "slurmdbd.log",
            "PidFile": folder / "run" / "slurmdbd.pid",
            "StorageType": "accounting_storage/mysql",
            "StorageHost": "127.0.0.1",
            "StoragePort": port + 2,
            "StorageUser": "slurm",
            "StoragePass": "slurm",
            "StorageLoc": "accounting",
            "CommunicationParameters": "NoInAddrAny",
        },
    )
    conf.chmod(0o600)
    daemons.spawn("slurmdbd", "slurmdbd", "-D", SLURMDBD_CONF=str(conf))
    daemons.wait(lambda: daemons.succeeds("sacctmgr", "-n", "show", "cluster"), "slurmdbd")
    for what in (("cluster", "lo"), ("account", "lab"), ("user", "root", "account=lab")):
        daemons.succeeds("sacctmgr", "-i", "add", *what)
