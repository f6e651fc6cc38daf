"""A consumer of Sluice's keys in Redis that shares no code with Sluice. It is the middleware of the
reference policy (docs/REFERENCE_POLICY.md#traffic), with the user's bucket instead of a random draw.

    middleware.py PORT PROFILE PLAN SALT < ids    prints the ids that get the candidate
"""
import socket
import sys


class Redis:
    """A Redis client over a plain socket, with the few commands that are needed."""

    def __init__(self, port):
        self.file = socket.create_connection(("127.0.0.1", port)).makefile("rwb")

    def ask(self, *parts):
        parts = [part.encode() if isinstance(part, str) else part for part in parts]
        self.file.write(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))
        self.file.flush()
        return self.answer()

    def answer(self):
        line = self.file.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2].decode()
        if kind == b"*":
            return [self.answer() for _ in range(int(rest))]
        if kind == b"-":
            raise RuntimeError(rest.decode())
        return rest.decode()


def murmur3_32(data):
    """MurmurHash3, x86, 32 bits, seed 0: written from its description."""
    mask = 0xFFFFFFFF
    rotate = lambda x, n: ((x << n) | (x >> (32 - n))) & mask
    mix = lambda k: rotate(k * 0xCC9E2D51 & mask, 15) * 0x1B873593 & mask
    h = 0
    for i in range(0, len(data) // 4 * 4, 4):
        h = (rotate(h ^ mix(int.from_bytes(data[i : i + 4], "little")), 13) * 5 + 0xE6546B64) & mask
    tail = data[len(data) // 4 * 4 :]
    if tail:
        h ^= mix(int.from_bytes(tail, "little"))
    h ^= len(data)
    h = (h ^ h >> 16) * 0x85EBCA6B & mask
    h = (h ^ h >> 13) * 0xC2B2AE35 & mask
    return h ^ h >> 16


def bucket(salt, user):
    return murmur3_32(f"{salt}:{user}".encode()) * 10000 >> 32


def harness(redis, salt, user):
    """The steps of the reference policy."""
    if redis.ask("GET", f"user:allow_gray:{user}") != "1":
        return False
    layer = redis.ask("GET", f"user:layer:{user}")
    if not layer:
        return False
    ratio = redis.ask("GET", f"release:plan:rel-2:layer:{layer}:ratio")
    if not ratio or float(ratio) <= 0:
        return False
    return bucket(salt, user) < round(float(ratio) * 10000)


def versioned(redis, plan, user):
    """The reader of docs/reference/publish.md#redis: pointer, version, user."""
    version = redis.ask("GET", f"sluice:{{{plan}}}:current")
    fields = redis.ask("HGETALL", f"sluice:{{{plan}}}:version:{version}")
    fields = dict(zip(fields[::2], fields[1::2]))
    for entry in (redis.ask("GET", f"sluice:{plan}:user:default:{user}") or "").split("|"):
        generation, _, rest = entry.partition(":")
        if entry and int(generation) <= int(fields["generation"]):
            layer, _, eligible = rest.rpartition(":")
            if int(generation) < int(fields["since"]) or not layer or eligible != "1":
                return False
            return bucket(fields["salt"], user) < int(fields[f"ratio:default:{layer}"])
    return False


def main():
    port, profile, plan, salt = sys.argv[1:]
    redis = Redis(int(port))
    for line in sys.stdin:
        user = line.rstrip("\n")
        gets = harness(redis, salt, user) if profile == "harness-v1" else versioned(redis, plan, user)
        if gets:
            print(user)


sys.stdin.reconfigure(encoding="utf-8")
sys.stdout.reconfigure(encoding="utf-8")
main()
