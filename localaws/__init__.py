"""The embedded AWS of `make demo` and of the end-to-end tests: a test bench, not a product."""

from localaws.control import Control
from localaws.inventory import InventoryItem
from localaws.reports import Fault, InstanceEvent
from localaws.server import LocalAws, LocalAwsError

__all__ = ["Control", "Fault", "InstanceEvent", "InventoryItem", "LocalAws", "LocalAwsError"]
