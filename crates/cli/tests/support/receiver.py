"""An HTTP receiver of events that is not always well: receiver.py hec|hec-ack|elasticsearch|ndjson PORT FOLDER

What it has stored is in FOLDER/stored, a line each; how often it has done what else is in FOLDER/done, a word each.
All of it is flushed before it is answered, so that a killed receiver keeps what it has confirmed, and nothing else:
what waits for an acknowledgement is in its memory only.
"""

import json
import os
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KIND, PORT, FOLDER = sys.argv[1], int(sys.argv[2]), sys.argv[3]
TOKEN = "Splunk 11111111-2222-4333-8444-555555555555"
# How long indexing takes, in seconds.
INDEXING = 0.3

lock = threading.Lock()
requests = 0
pending = {}  # acknowledgement id -> time of arrival, lines
acknowledged = set()
next_ack = 0
deferred = set()  # documents that were told to come later
documents = set()
stored = open(os.path.join(FOLDER, "stored"), "ab")
done = open(os.path.join(FOLDER, "done"), "a")
path = os.path.join(FOLDER, "stored")


def store(lines):
    stored.write(b"".join(line + b"\n" for line in lines))
    stored.flush()


def note(word):
    done.write(word + "\n")
    done.flush()


def index_what_is_due():
    # So that a test can be sure that something is lost by a restart.
    if os.path.exists(os.path.join(FOLDER, "hold")):
        return
    due = [ack for ack, (since, _) in pending.items() if time.monotonic() - since >= INDEXING]
    for ack in due:
        store(pending.pop(ack)[1])
        acknowledged.add(ack)


def hec(path, headers, body):
    """Splunk's answers, as its documentation of the HTTP event collector has them."""
    global next_ack
    if headers.get("authorization") != TOKEN:
        note("unauthorized")
        return 403, {"text": "Invalid token", "code": 4}
    if KIND == "hec-ack" and not (headers.get("x-splunk-request-channel") or "channel=" in path):
        note("no channel")
        return 400, {"text": "Data channel is missing", "code": 10}
    if path.startswith("/services/collector/ack"):
        index_what_is_due()
        asked = json.loads(body)["acks"]
        answer = {str(ack): ack in acknowledged for ack in asked}
        # It is said once.
        acknowledged.difference_update(asked)
        return 200, {"acks": answer}
    if path != "/services/collector/event":
        note("unknown path")
        return 404, {"text": "Not found", "code": 404}
    if requests % 5 == 2:
        note("busy")
        return 503, {"text": "Server is busy", "code": 9}
    lines = []
    for line in body.split(b"\n")[:-1]:
        event = json.loads(line)
        if not isinstance(event["event"], dict) or not event["time"] > 0:
            note("no event")
            return 400, {"text": "Invalid data format", "code": 6, "invalid-event-number": len(lines)}
        # The very bytes of the event.
        lines.append(line[line.index(b'"event":') + len(b'"event":') : -1])
    if KIND == "hec":
        store(lines)
        return 200, {"text": "Success", "code": 0}
    ack, next_ack = next_ack, next_ack + 1
    pending[ack] = (time.monotonic(), lines)
    done.write("taken\n" * len(lines))
    done.flush()
    return 200, {"text": "Success", "code": 0, "ackId": ack}


def elasticsearch(path, headers, body):
    """Answers to a bulk request. Documents are refused or put off by their ids."""
    if not path.startswith("/_bulk"):
        note("unknown path")
        return 404, {}
    if requests % 4 == 2:
        note("429")
        return 429, {"error": {"type": "circuit_breaking_exception", "reason": "too much"}, "status": 429}
    lines = body.split(b"\n")[:-1]
    items, new = [], []
    for action, document in zip(lines[::2], lines[1::2]):
        create = json.loads(action)["create"]
        ident, status, kind = create["_id"], 201, ""
        if json.loads(document)["@computed"]["eventUid"] != ident or not create["_index"].startswith("fmc-20"):
            status, kind = 400, "wrong_id"
            note("wrong id")
        elif ident.endswith("7"):
            status, kind = 400, "mapper_parsing_exception"
            note("refused")
        elif ident in documents:
            status, kind = 409, "version_conflict_engine_exception"
            note("409")
        elif ident.endswith("0") and ident not in deferred:
            deferred.add(ident)
            status, kind = 429, "es_rejected_execution_exception"
            note("put off")
        else:
            documents.add(ident)
            new.append(document)
        items.append({"create": {"status": status, "error": {"type": kind, "reason": "test"}} if kind else {"status": status}})
    store(new)
    if requests % 7 == 5:
        note("no answer")
        return None, None
    return 200, {"errors": True, "items": items}


def ndjson(path, headers, body):
    if requests % 5 == 2:
        note("500")
        return 500, {}
    if headers.get("x-tenant") != "north":
        note("no tenant")
        return 401, {}
    store(body.split(b"\n")[:-1])
    if requests % 7 == 5:
        # It has the lines, and the sender cannot know it.
        note("no answer")
        return None, None
    return 204, None


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Answers go out at once, whatever waits for an acknowledgement.
    disable_nagle_algorithm = True

    def do_POST(self):
        global requests
        body = self.rfile.read(int(self.headers["content-length"]))
        answer = {"hec": hec, "hec-ack": hec, "elasticsearch": elasticsearch, "ndjson": ndjson}[KIND]
        with lock:
            requests += not self.path.startswith("/services/collector/ack")
            status, content = answer(self.path, self.headers, body)
        if status is None:
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        text = b"" if content is None else json.dumps(content).encode()
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


if KIND == "elasticsearch" and os.path.exists(path):
    for line in open(path, "rb"):
        documents.add(json.loads(line)["@computed"]["eventUid"])
ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
