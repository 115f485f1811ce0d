"""MLflow's own tracking server, on 127.0.0.1 with its files in a folder: `python tests/mlflow_server.py FOLDER`.

Prints its port, and serves until its input ends. Files instead of a database spare half of its start.
"""

from __future__ import annotations

import os
import sys
import threading

os.environ |= {
    "MLFLOW_ALLOW_FILE_STORE": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "_MLFLOW_SERVER_FILE_STORE": f"{sys.argv[1]}/runs",
    "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
    "_MLFLOW_SERVER_ARTIFACT_DESTINATION": f"{sys.argv[1]}/artifacts",
    "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
}

if __name__ == "__main__":
    from mlflow.server import app
    from werkzeug.serving import make_server

    server = make_server("127.0.0.1", 0, app, threaded=True)
    print(server.server_port, flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
