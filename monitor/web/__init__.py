"""The web page and the HTTP API: Litestar, server-rendered, in the daemon's process."""
