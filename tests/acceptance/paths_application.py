"""Applications that know nothing of a path prefix: paths_application.py KIND PORT

flask: links, forms, redirects, cookies and style sheets by absolute paths. spa: one page with history routing.
listing: a folder as Apache shows it. gzip: the first, coded whatever the browser takes.
"""

from __future__ import annotations

import gzip
import sys
from typing import Any

from flask import Flask, Response, jsonify, make_response, redirect, request

_DOT = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360f8cf500f00030301"
    "00b5d3a0b40000000049454e44ae426082"
)
_PAGE = """<!doctype html><html><head><meta charset="utf-8"><title>{title}</title>
<link rel="stylesheet" href="/static/site.css"><link rel="icon" href="/static/dot.png?icon">
<link rel="manifest" href="/site.webmanifest"><style>h1 {{ background: url("/static/dot.png?inline") }}</style></head>
<body><nav><a id="home" href="/">Home</a> <a id="items" href="/items?page=1&amp;sort=name">Items</a>
<a id="go" href="/go">Go</a> <a id="absolute" href="http://localhost:{port}/items">Absolute</a></nav><h1>{title}</h1>
<p style="background-image: url('/static/dot.png?style')">{text}</p>
<img id="dot" src="/static/dot.png" srcset="/static/dot.png?1x 1x, /static/dot.png?2x 2x">
<form method="post" action="/save"><input name="word"><button id="save">Save</button></form><p id="said"></p>
<script src="/static/site.js"></script></body></html>"""
_SCRIPT = """fetch('/api/data').then(got => got.json()).then(got => {
  document.getElementById('said').textContent = got.said; });"""
_SPA = """<!doctype html><html><head><base href="/"><title>spa</title></head><body><nav></nav><main></main>
<script type="module" src="static/spa.js"></script></body></html>"""
_SPA_SCRIPT = """const root = new URL(document.baseURI).pathname;
const show = async () => {
  const route = location.pathname.slice(root.length);
  const got = await (await fetch(`${root}api/data`)).json();
  document.querySelector('main').textContent = `route ${route || 'start'} ${got.said}`; };
for (const name of ['one', 'two/three']) {
  const link = Object.assign(document.createElement('a'), {href: root + name, textContent: name, id: name.slice(0, 3)});
  link.onclick = event => { event.preventDefault(); history.pushState({}, '', link.href); show(); };
  document.querySelector('nav').append(link, ' '); }
onpopstate = show; show();"""
_FILES = {
    "site.css": ("text/css", "@import '/static/more.css'; body { background: url(/static/dot.png?sheet) }"),
    "more.css": ("text/css", "h1 { color: rgb(1, 2, 3) }"),
    "site.js": ("text/javascript", _SCRIPT),
    "spa.js": ("text/javascript", _SPA_SCRIPT),
}


def make(kind: str, port: int) -> Flask:
    """The application of a kind."""
    app = Flask(__name__, static_folder=None)

    @app.get("/static/<name>")
    def static(name: str) -> Any:
        if name == "dot.png":
            return Response(_DOT, mimetype="image/png")
        mimetype, text = _FILES[name]
        return Response(text, mimetype=mimetype)

    @app.get("/api/data")
    def data() -> Any:
        return jsonify(said=f"data for {request.cookies.get('word', 'nobody')}")

    {"spa": _spa, "listing": _listing}.get(kind, _site)(app, port)
    if kind == "gzip":
        app.after_request(_coded)
    return app


def _site(app: Flask, port: int) -> None:
    def page(title: str, text: str) -> str:
        return _PAGE.format(title=title, text=text, port=port)

    @app.get("/")
    def home() -> str:
        return page("Home", f"the word is {request.cookies.get('word', 'none')}")

    @app.get("/items")
    def items() -> str:
        return page("Items", f"page {request.args.get('page', 'none')} by {request.args.get('sort', 'none')}")

    @app.get("/go")
    def go() -> Any:
        return redirect("/items?page=9")

    @app.post("/save")
    def save() -> Any:
        answer = make_response(redirect(f"http://localhost:{port}/"))
        answer.set_cookie("word", request.form["word"], path="/")
        return answer

    @app.get("/site.webmanifest")
    def manifest() -> Any:
        return Response('{"start_url": "/", "icons": [{"src": "/static/dot.png?manifest"}]}',
                        mimetype="application/manifest+json")  # fmt: skip


def _spa(app: Flask, port: int) -> None:
    @app.get("/", defaults={"path": ""})
    @app.get("/<path:path>")
    def index(path: str) -> str:
        return _SPA


def _listing(app: Flask, port: int) -> None:
    @app.get("/", defaults={"path": ""})
    @app.get("/<path:path>")
    def folder(path: str) -> Any:
        if path.endswith(".txt"):
            return Response(f"content of {path}", mimetype="text/plain")
        above = "/" + "/".join(path.rstrip("/").split("/")[:-1])
        rows = "".join(
            f'<tr><td><img src="/static/dot.png?icon" alt="[   ]"><td><a href="/{path}{name}">{name}</a>'
            for name in ("below/", "file.txt")
        )
        return f'<title>Index of /{path}</title><table><tr><td><a href="{above}">Parent Directory</a>{rows}</table>'


def _coded(answer: Response) -> Response:
    answer.direct_passthrough = False
    answer.set_data(gzip.compress(answer.get_data(), mtime=0))
    answer.headers["Content-Encoding"] = "gzip"
    return answer


if __name__ == "__main__":
    make(sys.argv[1], int(sys.argv[2])).run("127.0.0.1", int(sys.argv[2]), threaded=True)
