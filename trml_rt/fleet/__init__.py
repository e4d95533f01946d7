"""Put a bundle in service: on a device, by a link, or on a server of Triton."""

from trml_rt.fleet.deploy import Deployment, deploy, rollback
from trml_rt.fleet.triton import TritonModel, export_triton

__all__ = ["Deployment", "TritonModel", "deploy", "export_triton", "rollback"]
