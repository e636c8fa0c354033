"""The one place where parts are chosen and put together (design §3).

Each function makes one part from the configuration. Nothing here has logic of its own, and
nothing else in the product knows which concrete parts are in use. Each file adds the parts of one
subject to those before: archive, certificates, senders, way_out, seeing; process has what needs
them all.
"""

from gateway.wiring.process import Wiring

__all__ = ["Wiring"]
