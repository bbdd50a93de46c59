"""Who may see what: sign-in by OpenID Connect in production, two roles, and tokens that expire."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pbm.settings import Settings

Role = Literal["viewer", "operator"]

CLAIM = "roles"
"""The claim of the identity token that lists a person's roles."""
ROLES: Mapping[str, Role] = {"pbm-operator": "operator", "pbm-viewer": "viewer"}
"""What the claim calls each role, the stronger one first."""


@dataclass(frozen=True)
class Access:
    """What a session may see.

    Attributes:
        state: ``open``: no sign-in is configured. ``signed_in``. ``signed_out``. ``expired``:
            the token has. ``no_role``: somebody whom nobody gave a role. ``not_configured``:
            production without sign-in, which shows nothing.
        role: Viewers see sums; operators see orders as well.
    """

    state: Literal["open", "signed_in", "signed_out", "expired", "no_role", "not_configured"]
    role: Role | None = None

    @property
    def sees_orders(self) -> bool:
        """Whether pages with single orders are shown."""
        return self.role == "operator"


def of(settings: Settings, user: Mapping[str, Any], now: float) -> Access:
    """The access of a session.

    Args:
        settings: Whether people sign in, and which warehouse is read.
        user: The claims of the identity token, and ``is_logged_in``.
        now: The current time, in seconds since 1970.
    """
    if settings.dashboard_sign_in == "off":
        if settings.on_google_cloud:
            return Access("not_configured")
        return Access("open", "operator")
    if not user.get("is_logged_in"):
        return Access("signed_out")
    # a session outlives its token: Streamlit's cookie lasts thirty days and is never asked again
    expires = user.get("exp")
    if not isinstance(expires, int | float) or isinstance(expires, bool) or expires <= now:
        return Access("expired")
    claimed = user.get(CLAIM) or ()
    names = {claimed} if isinstance(claimed, str) else {str(name) for name in claimed}
    for name, role in ROLES.items():
        if name in names:
            return Access("signed_in", role)
    return Access("no_role")
