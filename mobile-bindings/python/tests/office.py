"""A real server process on a folder of its own, and somebody signed in at its office."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.request
import uuid
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = os.environ.get("ONSITE_BIN", str(ROOT / "target" / "debug" / "onsite"))
PASSWORD = "a long passphrase"


class Office:
    """One company, with somebody who holds every office role."""

    def __init__(self, folder: Path, company: str = "浆模设备公司") -> None:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        # What is said to the tests is no key of the server's configuration.
        self.env = {
            **{key: value for key, value in os.environ.items() if not key.startswith("ONSITE_")},
            "ONSITE_DATA": str(folder),
            "ONSITE_LISTEN": f"127.0.0.1:{self.port}",
            "ONSITE_AUTH__INSECURE_COOKIES": "true",
        }
        self.log = (folder.parent / "server.log").open("wb")
        self.run("company", "add", company)
        roles = [a for r in ("admin", "service_manager", "clerk", "warehouse") for a in ("--role", r)]
        user = ["user", "add", "--company", company, "--login", "boss", "--name", "赵经理", *roles]
        self.run(*user, "--password-stdin", stdin=PASSWORD)
        self.start()
        request = urllib.request.Request(
            f"{self.url}/api/session",
            json.dumps({"login": "boss", "password": PASSWORD}).encode(),
            {"content-type": "application/json", "origin": self.url},
        )
        with urllib.request.urlopen(request) as answer:
            self.cookie = answer.headers["set-cookie"].split(";")[0]

    def run(self, *args: str, stdin: str = "") -> str:
        done = subprocess.run([PROGRAM, *args], env=self.env, input=stdin, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self) -> None:
        self.server = subprocess.Popen([PROGRAM, "serve"], env=self.env, stdout=self.log, stderr=self.log)
        for _ in range(300):
            try:
                with urllib.request.urlopen(f"{self.url}/readyz"):
                    return
            except OSError:
                time.sleep(0.1)
        raise AssertionError("the server does not start")

    def stop(self) -> None:
        self.server.kill()
        self.server.wait()

    def ask(self, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"cookie": self.cookie, "content-type": "application/json", "origin": self.url}
        with urllib.request.urlopen(urllib.request.Request(self.url + path, data, headers)) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def do(self, what: str, **fields: Any) -> Any:
        return self.ask("/api/commands", {"do": what, **fields})

    def technician(self) -> str:
        """A new technician's id."""
        staff = str(uuid.uuid4())
        self.do("put_staff", id=staff, name="李工", code=staff[:8], phone="", roles=["technician"])
        return staff

    def customer(self, name: str) -> str:
        customer = str(uuid.uuid4())
        self.do("put_customer", id=customer, name=name, code="", project_completed=None, call_interval_days=None)
        return customer

    def job(self, customer: str, technician: str, text: str) -> str:
        order = str(uuid.uuid4())
        self.do(
            "open_work_order",
            id=order,
            customer=customer,
            equipment=None,
            work_type="repair",
            request=None,
            follow_on_of=None,
            service_description=text,
            # Due now, so that it is among today's at any hour.
            arrival_deadline=int(time.time() * 1000),
        )
        self.do("assign", id=order, technicians=[technician], reason="")
        return order

    def code(self, technician: str) -> str:
        return str(self.ask("/api/device-codes", {"staff": technician})["code"])
