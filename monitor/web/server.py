"""The web server on a thread of its own: the daemon goes on if it fails, and it goes on if the daemon's loops fail."""

from __future__ import annotations

import socket
from contextlib import suppress
from threading import Event, Thread
from types import TracebackType

import uvicorn
from structlog import get_logger

from monitor.config.model import MonitorConfig, Web
from monitor.errors import MonitorError, UsageError
from monitor.services.context import Context
from monitor.services.workers import WorkerPool
from monitor.storage import measures, people
from monitor.web import connections
from monitor.web.app import create_app
from monitor.web.site import Site

log = get_logger()
_AGAIN_S, _AGAIN_AT_MOST_S = 5.0, 60.0
_DRAW_EVERY_S = 5.0


class WebServer:
    """Serves pages and API while the context is entered; a server that fails is started again."""

    def __init__(self, context: Context, workers: WorkerPool, web: Web) -> None:
        self._context, self._web = context, web
        self.site = Site(context, workers, web)
        self._server: uvicorn.Server | None = None
        self._thread = Thread(target=self._serve, name="web", daemon=True)
        self._drawing = Thread(target=self._draw_ahead, name="draw", daemon=True)
        self._ends = Event()
        self.url = ""

    def __enter__(self) -> WebServer:
        if self._web.asks_for_login and not self._context.database.read(is_known_to_anybody):
            raise UsageError(
                f"on web.host {self._web.host} people log in, and nobody may yet: `monitor users add NAME --role admin`"
                " adds a user, `monitor tokens create NAME` a token; or leave `web.host` at 127.0.0.1 without"
                " `web.login`, or set `web: off`"
            )
        self._thread.start()
        self._drawing.start()
        if any(_takes_rows(monitor) for monitor in self._context.configuration.monitors.values()):
            Thread(target=self._open_stores, name="stores", daemon=True).start()
        return self

    def _draw_ahead(self) -> None:
        """Draw the plots of monitors whose runs have ended, so that nobody who asks for a page waits for hundreds of
        them.
        """
        drawn: object = None
        while not self._ends.is_set() and not self._context.stopping.is_set():
            with suppress(MonitorError):  # the database is away: whoever asks for a page sees the error
                ended = self.site.read(measures.ended)
                if ended != drawn:
                    self.site.read(self.site.fleet)
                    drawn = ended
            self._ends.wait(_DRAW_EVERY_S)

    def _open_stores(self) -> None:
        from monitor.services.ingest import open_stores  # brings Arrow, which a daemon that takes no rows does without

        open_stores(self._context)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends.set()
        if self._server is not None:
            self._server.should_exit = True
        self._thread.join(timeout=10)
        self._drawing.join(timeout=10)

    def _serve(self) -> None:
        pause = _AGAIN_S
        while not self._ends.is_set() and not self._context.stopping.is_set():
            try:
                self._serve_once()
            except (Exception, SystemExit) as error:  # uvicorn exits where it cannot start
                log.error("web_failed", error=f"{type(error).__name__}: {error}", again_in_s=pause)
            self._context.stopping.wait(0 if self._ends.is_set() else pause)
            pause = min(2 * pause, _AGAIN_AT_MOST_S)

    def _serve_once(self) -> None:
        with _listening(self._web.host, self._web.port) as bound:
            host, port = bound.getsockname()[:2]
            self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}{self._web.root_path}"
            config = uvicorn.Config(
                create_app(self.site),
                log_config=None,
                access_log=False,
                server_header=False,
                lifespan="off",
                proxy_headers=bool(self._web.trusted_proxies),
                forwarded_allow_ips=self._web.trusted_proxies,
                timeout_graceful_shutdown=5,
                timeout_keep_alive=30,
                ws="none",
                http=connections.protocol(self._web.connections_per_client, self._web.trusted_proxies),
            )
            self._server = uvicorn.Server(config)
            log.info("web_started", address=self.url)
            self._server.run([bound])


def _takes_rows(monitor: MonitorConfig) -> bool:
    """Whether the API writes what a monitor reads."""
    return monitor.source.ingest or (monitor.labels is not None and monitor.labels.ingest)


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise UsageError(f"{host}:{port} cannot be listened on ({error.strerror}): set web.port to another") from None
    return bound


def is_known_to_anybody(session: object) -> bool:
    """Whether somebody may log in, or some program has a token."""
    return bool(people.users(session) or people.tokens(session))  # type: ignore[arg-type]
