"""Put a bundle in service on a device, and go back to the one before."""

from trml_rt.fleet.deploy import Deployment, deploy, rollback

__all__ = ["Deployment", "deploy", "rollback"]
