"""Ports and addresses of this machine, on which an embedded Argilla listens."""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import json
import shlex
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from annotation.errors import ServerError

if TYPE_CHECKING:
    import psutil

HOST = "127.0.0.1"
"""The loopback address: nobody but this machine reaches it."""

SETTING = "set argilla.port = {} in annot.toml"
"""How the embedded Argilla is given another port."""


def require_free(host: str, port: int, setting: str = SETTING) -> None:
    """Refuse a port that cannot be listened on; ServerError names who has it, and how to take one that is free."""
    if not 1 <= port <= 65535:
        raise ServerError(f"{port} is no port; choose one between 1024 and 65535.")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except PermissionError as problem:
            raise ServerError(f"Port {port} needs an administrator's rights; choose one above 1023.") from problem
        except OSError as problem:
            raise ServerError(port_sentence(port, setting)) from problem


def listening_address(host: str) -> str:
    """The address of this machine that a name means.

    Raises:
        ServerError: it is no address of this machine.
    """
    try:  # an empty name would mean all addresses
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE) if host else []
    except (OSError, UnicodeError):
        found = []
    for family, kind, _, _, (address, *_rest) in found:
        parsed = ipaddress.ip_address(str(address).partition("%")[0])
        if parsed.is_loopback:
            return HOST
        if parsed.is_unspecified and host != address:  # all addresses only for one who says so
            continue
        with socket.socket(family, kind) as probe, contextlib.suppress(OSError):
            probe.bind((address, 0))
            return str(address)
    own = ", ".join(_own_addresses()) or "none"
    raise ServerError(f"{host[:80]!r} is no address of this machine to listen on; it has {own} (0.0.0.0 means all).")


def _own_addresses() -> list[str]:
    """This machine's addresses that others may reach."""
    import psutil

    found = [entry.address for entries in psutil.net_if_addrs().values() for entry in entries]
    addresses = []
    for text in found:
        with contextlib.suppress(ValueError):
            address = ipaddress.ip_address(text)
            if not (address.is_loopback or address.is_link_local):
                addresses.append(text)
    return addresses


def outside_addresses(host: str, port: int) -> list[str]:
    """Under which URLs others reach a server that listens on an address; none when only this machine does."""
    if host == HOST:
        return []
    every = {"0.0.0.0": (4,), "::": (4, 6)}.get(host)
    found = [a for a in _own_addresses() if ipaddress.ip_address(a).version in every] if every else [host]
    names = [socket.gethostname()] if every else []
    return [f"http://{f'[{name}]' if ':' in name else name}:{port}" for name in (*found, *names)]


def exposure(host: str, url: str, people: int) -> list[str]:
    """What it means, in lines for a lead, that others reach a server; empty when only this machine does."""
    port = int(url.rpartition(":")[2])
    if not (found := outside_addresses(host, port)):
        return []
    return [
        f"EXPOSED: everybody who reaches {host}, port {port}, can open {' or '.join(found)}.",
        "It is plain HTTP: whoever listens on the way reads log-ins and answers. Nobody can sign up; the owner"
        f" and the {people} people of `annot team list` can log in.",
        "With TLS: start without --host, and let a proxy on this machine speak for it, for example"
        f" `caddy reverse-proxy --from argilla.example.org --to {HOST}:{port}`.",
    ]


def reach(host: str) -> str:
    """For whom a server is that listens on an address."""
    return "for this machine alone" if host == HOST else f"on {host}"


def ask_version(port: int) -> str | None:
    """The version of the Argilla that answers on a port of this machine, if one does."""
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", "/api/v1/status")
        response = connection.getresponse()
        body = response.read()
        if response.status != 200:
            return None
        version = json.loads(body).get("version")
        return str(version) if version else None
    except (OSError, http.client.HTTPException, ValueError, AttributeError):
        return None
    finally:
        connection.close()


def listens(pid: int, port: int) -> bool:
    """Whether a process is the one that answers on a port of this machine."""
    import psutil

    with contextlib.suppress(psutil.Error):
        found = psutil.Process(pid).net_connections("tcp")
        return any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in found)
    return False


def port_sentence(port: int, setting: str = SETTING) -> str:
    """Who listens on a port, and what to do: `setting` says how another is chosen."""
    import psutil

    user, remedy = "", "stop that program"
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            if connection.laddr and connection.laddr.port == port and connection.pid and connection.status == "LISTEN":
                process = psutil.Process(connection.pid)
                user = f" by {process.name()} (process {connection.pid})"
                if found := role_and_home(process):
                    project = found[1].parent
                    user = f" by the Argilla of another project, {project} (process {connection.pid})"
                    remedy = f"stop it with `annot down --project {shlex.quote(str(project))}`"
    if not user and (version := ask_version(port)):  # somebody else's process, which only they may look at
        user, remedy = f" by another Argilla ({version})", "stop that one"
    return f"Port {port} is in use{user}: {remedy}, or {setting.format(free_port())}."


def role_and_home(process: psutil.Process) -> tuple[str, Path] | None:
    """The role of one of our processes, and the `.argilla` that it serves; None for any other process.

    Its command line tells the role. The folder is where it works, which a folder that was renamed meanwhile still is.
    """
    command = process.cmdline()
    if len(command) == 2 and command[0].endswith("redis-server") and command[1].endswith("redis.conf"):
        role = "redis"
    elif len(command) == 4 and command[1].endswith("launch.py"):
        role = {"serve": "server", "work": "worker"}.get(command[2], "")
    else:
        return None
    folder = Path(process.cwd())
    home = folder.parent if role == "redis" and folder.name == "redis" else folder
    return (role, home) if role else None


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
