"""One process around a runtime that answers over HTTP: many callers, one set of engines."""

from trml_rt.serve.run import Server, ServeReport, serve

__all__ = ["ServeReport", "Server", "serve"]
