"""The application that the ASGI and WSGI servers of the end-to-end tests serve."""

import os

from fastapi import FastAPI

app = FastAPI()


@app.get("/health")
def health():
    return {"status": "ok", "worker": os.getpid()}


def wsgi(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [b'{"status": "ok"}']
