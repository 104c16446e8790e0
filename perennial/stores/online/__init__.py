"""Online store: the newest values of entity features, read while serving, from SQLite, Redis or Postgres.

Feast writes it (`perennial.stores.online.feature_store`); a server reads it without Feast.
"""

from perennial.stores.online.reader import OnlineReader, Rows, open_reader, read_states
from perennial.stores.online.state import OnlineState

__all__ = ["OnlineReader", "OnlineState", "Rows", "open_reader", "read_states"]
