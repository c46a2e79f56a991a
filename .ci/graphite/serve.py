"""Serves graphite-web on 127.0.0.1, a thread a request, for tests."""

import socketserver
import sys
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from django.core.wsgi import get_wsgi_application


class Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128

    def server_bind(self):
        # WSGIServer would ask the DNS for this host's name.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]
        self.setup_environ()


class Handler(WSGIRequestHandler):
    def log_request(self, *args):
        pass


make_server("127.0.0.1", int(sys.argv[1]), get_wsgi_application(), Server, Handler).serve_forever()
