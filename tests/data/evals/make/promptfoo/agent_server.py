"""An agent behind HTTP on a loopback port, for promptfoo's own cache: GET nothing, POST {"q": ...}."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Agent(BaseHTTPRequestHandler):
    def do_POST(self):
        question = json.loads(self.rfile.read(int(self.headers["content-length"])))["q"]
        what, right = json.load(open(sys.argv[1]))[question]
        answer = "I am not sure about that." if what == "fail" else right
        body = json.dumps({"answer": answer, "cost": 0.0001}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Agent)
server.serve_forever()
