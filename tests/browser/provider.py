"""A provider of identities for one test: OpenID Connect, as small as it can be. Anybody may enter.

It answers on this machine only: discovery, a page that sends back at once, tokens, keys.
"""

from __future__ import annotations

import base64
import json
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT = {"client_id": "studio", "client_secret": "a secret of both"}


class Provider:
    """A running provider.

    Attributes:
        url: Where it answers.
        who: Who enters next.
    """

    def __init__(self) -> None:
        self.who = "ann"
        self._key = RSAKey.generate_key(2048, {"kid": "1", "alg": "RS256", "use": "sig"})
        self._asked: dict[str, tuple[str, str]] = {}
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args):
                pass

            def do_GET(self):
                provider._get(self)

            def do_POST(self):
                provider._post(self)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()

    def _get(self, request: BaseHTTPRequestHandler) -> None:
        address = urlsplit(request.path)
        query = {name: values[0] for name, values in parse_qs(address.query).items()}
        if address.path == "/.well-known/openid-configuration":
            _answer(
                request,
                {
                    "issuer": self.url,
                    "authorization_endpoint": f"{self.url}/enter",
                    "token_endpoint": f"{self.url}/token",
                    "jwks_uri": f"{self.url}/keys",
                    "response_types_supported": ["code"],
                    "subject_types_supported": ["public"],
                    "id_token_signing_alg_values_supported": ["RS256"],
                },
            )
        elif address.path == "/keys":
            _answer(request, {"keys": [self._key.as_dict(private=False)]})
        elif address.path == "/enter":
            code = secrets.token_urlsafe()
            self._asked[code] = (query.get("nonce", ""), self.who)
            back = urlencode({"code": code, "state": query["state"]})
            request.send_response(302)
            request.send_header("location", f"{query['redirect_uri']}?{back}")
            request.end_headers()
        else:
            request.send_error(404)

    def _post(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["content-length"])).decode()
        asked = {name: values[0] for name, values in parse_qs(body).items()}
        wanted = base64.b64encode(":".join(CLIENT.values()).encode()).decode()
        if request.headers.get("authorization") != f"Basic {wanted}":
            request.send_error(401)
            return
        nonce, who = self._asked.pop(asked["code"])
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": CLIENT["client_id"],
            "sub": who,
            "name": who.title(),
            "email": f"{who}@example.org",
            "nonce": nonce,
            "iat": now,
            "exp": now + 600,
        }
        token = jwt.encode({"alg": "RS256", "kid": "1"}, claims, self._key)
        _answer(request, {"access_token": "none", "token_type": "Bearer", "id_token": token})


def _answer(request: BaseHTTPRequestHandler, content: dict) -> None:
    body = json.dumps(content).encode()
    request.send_response(200)
    request.send_header("content-type", "application/json")
    request.send_header("content-length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)
