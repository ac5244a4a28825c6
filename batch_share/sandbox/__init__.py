"""An imitation LeadSquared, for trying, rehearsing and testing: real shapes, limits and refusals, no real lead.

It stands beside the other rooms and imports none of them: an imitation that used our own
code would agree with our own mistakes.
"""

from batch_share.sandbox.options import SandboxOptions
from batch_share.sandbox.server import Sandbox, serve_forever
from batch_share.sandbox.world import World

__all__ = ["Sandbox", "SandboxOptions", "World", "serve_forever"]
