"""People: their accounts and passwords, and the sessions of their browsers.

A role that has pages takes one `Accounts`; who may decide what stays with the role.
"""

from .accounts import Accounts
from .posts import CSRF_FIELD
from .records import MIGRATIONS
from .values import Account, AccountError, Session

__all__ = ["CSRF_FIELD", "MIGRATIONS", "Account", "AccountError", "Accounts", "Session"]
