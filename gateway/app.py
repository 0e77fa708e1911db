"""The web application: routes, security headers, the dashboard's files."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse
from fastapi.routing import APIRoute
from fastapi.staticfiles import StaticFiles
from starlette.middleware.gzip import GZipMiddleware

from gateway import VERSION
from gateway.limit import BodyLimit
from gateway.query import REFUSALS
from gateway.route import history, live, oee, operation, plant, session, statement
from gateway.route import state as states
from gateway.state import State
from plant.errors import Unavailable

STATIC = Path(__file__).parent / "static"

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self' ws: wss:; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}

NOT_BUILT = """<!doctype html><meta charset=utf-8><title>Kaikou 开口</title>
<p>The dashboard is not built. In the checkout, <code>make install</code> builds it.
<p lang=zh>看板尚未构建。在源码目录执行 <code>make install</code> 即可构建。
<p>REST: <a href=/api/docs>/api/docs</a>"""


def create_app(kaikou: State) -> FastAPI:
    """The application around a state; deploys and tests give it one."""
    app = FastAPI(
        title="Kaikou",
        version=VERSION,
        description="The plant's live twin: tree, newest values, history, live stream. "
        "Times are ms UTC; a value that is not known is null, never zero.",
        openapi_url="/api/openapi.json",
        docs_url="/api/docs",
        redoc_url=None,
    )
    app.state.kaikou = kaikou
    app.state.log_in_lock = asyncio.Lock()
    app.add_middleware(GZipMiddleware, minimum_size=4096, compresslevel=4)

    app.add_middleware(BodyLimit)

    @app.middleware("http")
    async def secure(
        request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        response = await call_next(request)
        for name, value in HEADERS.items():
            if not request.url.path.startswith("/api/docs"):
                response.headers.setdefault(name, value)
        return response

    @app.exception_handler(Unavailable)
    def away(request: Request, error: Exception) -> Response:
        return JSONResponse({"detail": str(error)}, 503)

    @app.exception_handler(RequestValidationError)
    def misread(request: Request, error: RequestValidationError) -> Response:
        return JSONResponse({"detail": "; ".join(map(_plainly, error.errors()))}, 422)

    methods: dict[str, set[str]] = {}
    for module in (session, plant, history, states, oee, statement, live):
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
    return f"{where}: {problem['msg']}"


def _serve_dashboard(app: FastAPI, methods: Mapping[str, Collection[str]]) -> None:
    index = STATIC / "index.html"
    if (STATIC / "assets").is_dir():
        app.mount("/assets", StaticFiles(directory=STATIC / "assets"), name="assets")

    @app.get("/{page:path}", include_in_schema=False)
    def dashboard(page: str) -> Response:
        """Any page of the dashboard; its router reads the address itself."""
        if f"/{page}" in methods:
            headers = {"Allow": ", ".join(sorted(methods[f"/{page}"]))}
            raise HTTPException(405, f"/{page} takes {headers['Allow']}", headers)
        if page.startswith(("api/", "assets/")):
            raise HTTPException(404, f"nothing at /{page}")
        file = (STATIC / page).resolve()
        if page and file.is_file() and file.is_relative_to(STATIC.resolve()):
            return FileResponse(file)
        if not index.is_file():
            return HTMLResponse(NOT_BUILT)
        return FileResponse(index, headers={"Cache-Control": "no-cache"})
