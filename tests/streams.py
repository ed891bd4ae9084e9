"""A camera in the network, simulated: motion JPEG over HTTP on the loopback, that can die and come back."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np


class Stream:
    """Sends images (height, width, 3) uint8 RGB round and round, `rate` a second, to whoever connects.

    `with Stream(images) as stream: ... stream.address`; `die()` and `live()` end and begin it on the same port.
    """

    def __init__(self, images: Sequence[np.ndarray], rate: float = 25.0):
        flags = [cv2.IMWRITE_JPEG_QUALITY, 98, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
        self.packed = [cv2.imencode(".jpg", image[..., ::-1], flags)[1].tobytes() for image in images]
        self.rate, self.port, self.server = rate, 0, None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/camera.mjpg"

    def live(self) -> None:
        stream, self.ending = self, threading.Event()
        ending = self.ending

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):  # the name that http.server calls
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                sent = 0
                while not ending.is_set():
                    packed = stream.packed[sent % len(stream.packed)]
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(packed)}\r\n\r\n"
                    try:
                        self.wfile.write(head.encode() + packed + b"\r\n")
                    except OSError:
                        return
                    sent += 1
                    time.sleep(1 / stream.rate)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def die(self) -> None:
        if self.server is not None:
            self.ending.set()
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    def __enter__(self) -> Stream:
        self.live()
        return self

    def __exit__(self, *_) -> None:
        self.die()
