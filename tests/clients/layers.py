"""Reads users' layers from Redis and PostgreSQL as an outside consumer does, by the steps of
docs/reference/publish.md. The question has `redis` (a port), `postgres` (`psql`, `port`, `password`), `plan` and
`users`. The answer has, for each store and user, the layer and whether the user is eligible, or null."""

import json
import os
import socket
import subprocess
import sys


class Redis:
    """The commands that a reader needs, in the protocol of the server."""

    def __init__(self, port):
        self.file = socket.create_connection(("127.0.0.1", port)).makefile("rwb")

    def ask(self, *parts):
        parts = [part.encode() for part in parts]
        self.file.write(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))
        self.file.flush()
        return self.answer()

    def answer(self):
        line = self.file.readline()[:-2]
        kind, rest = line[:1], line[1:]
        assert kind != b"-", rest
        if kind == b"$" and int(rest) >= 0:
            return self.file.read(int(rest) + 2)[:-2].decode()
        if kind == b"*":
            return [self.answer() for _ in range(int(rest))]
        return None


def from_redis(port, plan, users):
    redis = Redis(port)
    version = redis.ask("GET", f"sluice:{{{plan}}}:current")
    fields = redis.ask("HGETALL", f"sluice:{{{plan}}}:version:{version}")
    fields = dict(zip(fields[::2], fields[1::2]))
    generation, since = int(fields["generation"]), int(fields["since"])

    def layer(user):
        value = redis.ask("GET", f"sluice:{plan}:user:default:{user}")
        for entry in (value or "").split("|"):
            own, _, rest = entry.partition(":")
            if own and int(own) <= generation:
                name, _, eligible = rest.rpartition(":")
                return [name, eligible == "1"] if name and int(own) >= since else None
        return None

    return {user: layer(user) for user in users}


def from_postgres(server, plan, users):
    sql = "select json_object_agg(user_id, json_build_array(layer_id, eligible)) from sluice.layer_assignment where plan_id = :'plan'"
    command = [server["psql"], "-X", "-At", "-h", "127.0.0.1", "-p", str(server["port"]), "-U", "admin"]
    command += ["-d", "postgres", "-v", f"plan={plan}"]
    environment = dict(os.environ, PGPASSWORD=server["password"], PGCLIENTENCODING="UTF8")
    answer = subprocess.run(command, input=sql, env=environment, capture_output=True, encoding="utf-8", check=True)
    found = json.loads(answer.stdout)
    return {user: found.get(user) for user in users}


question = json.load(sys.stdin)
stores = {
    "redis": from_redis(question["redis"], question["plan"], question["users"]),
    "postgres": from_postgres(question["postgres"], question["plan"], question["users"]),
}
json.dump(stores, sys.stdout)
