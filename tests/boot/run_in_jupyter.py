"""Executes a notebook in the machine's Jupyter, as a browser would, and saves it with its outputs.

Runs on the machine: run_in_jupyter.py PATH, with the token on standard input. Each code cell goes
to the kernel over Jupyter's WebSocket; the first error ends it. Prints one line of JSON, the
outputs of each cell that was executed, in the form of nbformat 4.
"""

import json
import sys
import urllib.request
import uuid

import websocket

ADDRESS = "127.0.0.1:8888"
SECONDS = 600
"""Until a cell has said something."""
OUTPUTS = ("stream", "display_data", "execute_result", "error")


def main() -> None:
    path, token = sys.argv[1], sys.stdin.read().strip()
    notebook = ask(token, "GET", f"contents/{path}")["content"]
    kernel = {"name": notebook["metadata"]["kernelspec"]["name"]}
    wanted = {"path": path, "name": path, "type": "notebook", "kernel": kernel}
    session = ask(token, "POST", "sessions", wanted)
    socket = websocket.create_connection(
        f"ws://{ADDRESS}/api/kernels/{session['kernel']['id']}/channels",
        header=[f"Authorization: token {token}"],
        timeout=SECONDS,
    )
    shown = []
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"] = execute(socket, "".join(cell["source"]))
            shown.append(cell["outputs"])
            if any(output["output_type"] == "error" for output in shown[-1]):
                break
    socket.close()
    ask(token, "DELETE", f"sessions/{session['id']}")
    ask(token, "PUT", f"contents/{path}", {"type": "notebook", "content": notebook})
    print(json.dumps(shown))


def ask(token: str, method: str, path: str, body: object = None) -> dict:
    """What Jupyter's API answers."""
    request = urllib.request.Request(
        f"http://{ADDRESS}/api/{path}",
        json.dumps(body).encode() if body else None,
        {"Authorization": f"token {token}", "Content-Type": "application/json"},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:
        return json.loads(answer.read() or "{}")


def execute(socket: websocket.WebSocket, code: str) -> list:
    """The outputs of a cell, once the kernel is idle again."""
    ours = uuid.uuid4().hex
    content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False}
    header = {"msg_id": ours, "msg_type": "execute_request", "session": ours, "username": ""}
    message = {"channel": "shell", "header": header | {"version": "5.3"}, "content": content}
    socket.send(json.dumps(message | {"parent_header": {}, "metadata": {}}))
    outputs = []
    while True:
        said = json.loads(socket.recv())
        if said["parent_header"].get("msg_id") != ours or said["channel"] != "iopub":
            continue
        kind, content = said["msg_type"], said["content"]
        if kind in OUTPUTS:
            content.pop("transient", None)
            outputs.append({"output_type": kind, **content})
        if kind == "status" and content["execution_state"] == "idle":
            return outputs


if __name__ == "__main__":
    main()
