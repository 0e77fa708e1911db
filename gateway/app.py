"""The web application: routes, security headers, the dashboard's files."""

from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse
from fastapi.routing import APIRoute
from starlette.middleware.gzip import GZipMiddleware

from gateway import VERSION
from gateway.answer.plant import plant_answer
from gateway.limit import BodyLimit
from gateway.query import REFUSALS
from gateway.route import history, live, oee, operation, people, plant, session, statement
from gateway.route import state as states
from gateway.state import State
from gateway.turn import TooMany
from plant.errors import ConfigError, Unavailable

STATIC = Path(__file__).parent / "static"

NOT_BUILT = """<!doctype html><meta charset=utf-8><title>Kaikou 开口</title>
<p>The dashboard is not built. In the checkout, <code>make install</code> builds it.
<p lang=zh>看板尚未构建。在源码目录执行 <code>make install</code> 即可构建。
<p>REST: <a href=/api/openapi.json>/api/openapi.json</a>"""

PAGES = {"api/docs": "docs/index.html"}
"""Files that have an address of their own."""


def create_app(kaikou: State) -> FastAPI:
    """The application around a state; deploys and tests give it one."""
    app = FastAPI(
        title="Kaikou",
        version=VERSION,
        description="The plant's live twin: tree, newest values, history, live stream. "
        "Times are ms UTC; a value that is not known is null, never zero.",
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.state.kaikou = kaikou
    app.state.plant = cache(lambda: plant_answer(kaikou.plant, VERSION).model_dump_json())
    app.add_middleware(GZipMiddleware, minimum_size=4096, compresslevel=4)

    app.add_middleware(BodyLimit)

    @app.exception_handler(Unavailable)
    @app.exception_handler(ConfigError)
    def away(request: Request, error: Exception) -> Response:
        return JSONResponse({"detail": str(error)}, 503)

    @app.exception_handler(TooMany)
    def too_many(request: Request, error: TooMany) -> Response:
        return JSONResponse({"detail": str(error)}, 429, {"Retry-After": "1"})

    @app.exception_handler(RequestValidationError)
    def misread(request: Request, error: RequestValidationError) -> Response:
        return JSONResponse({"detail": "; ".join(map(_plainly, error.errors()[:20]))}, 422)

    @app.exception_handler(Exception)
    def mistaken(request: Request, error: Exception) -> Response:
        return JSONResponse({"detail": "a mistake of the gateway; its log says more"}, 500)

    methods: dict[str, set[str]] = {}
    for module in (session, people, plant, history, states, oee, statement, live):
        app.include_router(module.router, prefix="/api", responses=REFUSALS)
        for route in module.router.routes:
            if isinstance(route, APIRoute):
                methods.setdefault(f"/api{route.path}", set()).update(route.methods or ())
    app.include_router(operation.router)
    _serve_dashboard(app, methods)
    return app


def _plainly(problem: Mapping[str, Any]) -> str:
    """A problem of a question as text: where and what."""
    where = ".".join(str(part) for part in problem["loc"][1:]) or str(problem["loc"][0])
    return _printable(f"{where[:200]}: {problem['msg']}")


def _printable(text: str) -> str:
    """A stranger's words as JSON and a terminal can show them."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def _serve_dashboard(app: FastAPI, methods: Mapping[str, Collection[str]]) -> None:
    files = {f.relative_to(STATIC).as_posix(): f for f in STATIC.rglob("*") if f.is_file()}
    for address, name in PAGES.items():
        if name in files:
            files[address] = files.pop(name)

    @app.get("/{page:path}", include_in_schema=False)
    def dashboard(page: str) -> Response:
        """Any page of the dashboard; its router reads the address itself."""
        if f"/{page}" in methods:
            headers = {"Allow": ", ".join(sorted(methods[f"/{page}"]))}
            raise HTTPException(405, f"/{page} takes {headers['Allow']}", headers)
        if page in files:
            kept = page.startswith("assets/")  # their names change with what is in them
            age = "public, max-age=31536000, immutable" if kept else "no-cache"
            return FileResponse(files[page], headers={"Cache-Control": age})
        if page.startswith(("api/", "assets/")):
            raise HTTPException(404, f"nothing at /{_printable(page[:100])}")
        if "index.html" not in files:
            return HTMLResponse(NOT_BUILT)
        return FileResponse(files["index.html"], headers={"Cache-Control": "no-cache"})
