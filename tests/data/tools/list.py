"""Starts an MCP server over stdio and writes its answers to tools/list as one list.

python3 list.py OUT.json COMMAND [ARGUMENT...], after `npm install PACKAGE@VERSION` in a folder."""
import json
import subprocess
import sys
import threading


def tools_of(command):
    server = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    timer = threading.Timer(60, server.kill)
    timer.start()

    def send(message):
        server.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        server.stdin.flush()

    def answer(number):
        for line in server.stdout:
            message = json.loads(line)
            if message.get("id") == number and "result" in message:
                return message["result"]
        sys.exit("the server gave no answer")

    client = {"name": "list", "version": "1"}
    parameters = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client}
    send({"id": 1, "method": "initialize", "params": parameters})
    answer(1)
    send({"method": "notifications/initialized"})
    tools, cursor, number = [], None, 2
    while cursor or number == 2:
        send({"id": number, "method": "tools/list", "params": {"cursor": cursor} if cursor else {}})
        page = answer(number)
        tools, cursor, number = tools + page["tools"], page.get("nextCursor"), number + 1
    timer.cancel()
    server.kill()
    return {"tools": tools}


with open(sys.argv[1], "w") as out:
    json.dump(tools_of(sys.argv[2:]), out, indent=1, ensure_ascii=False)
