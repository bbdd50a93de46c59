"""The dashboards' entry point: who is there, which pages they see, and the strip on top.

Started by `pbm dashboard`, which is `streamlit run dashboards/streamlit_app.py` with the local
stack around it.
"""

from pathlib import Path

import streamlit as st

from dashboards import page
from dashboards.access import Access
from dashboards.app_pages import (
    act,
    data_health,
    flow,
    now,
    order_journey,
    patient_satisfaction,
)

_REFUSALS = {
    "signed_out": (
        "Sign in to see the dashboards",
        "Orders of real patients are behind these pages.",
    ),
    "expired": (
        "Your sign-in has expired",
        "The token that says who you are is no longer valid.",
    ),
    "no_role": (
        "You have no role here",
        "You are signed in, and nobody has made you a viewer or an operator.",
    ),
    "not_configured": (
        "Sign-in is not configured",
        "These dashboards read the production warehouse, and nobody would have to sign in.",
    ),
}


def main() -> None:
    """Build the page that was asked for."""
    # a file of ours: the icons of Streamlit's own set are fetched from the network
    icon = Path(__file__).with_name("icon.svg")
    st.set_page_config(page_title="PBM Logistics 360", page_icon=str(icon), layout="wide")
    page.style()
    who = page.current_access()
    if who.role is None:
        _refuse(who)
        return
    # whoever sees sums only is not even told which orders there are
    pages = {
        "now": st.Page(now.show, title="Now", default=True),
        "flow": st.Page(flow.show, title="Flow", url_path="flow"),
        "data_health": st.Page(data_health.show, title="Data health", url_path="data_health"),
        "patient_satisfaction": st.Page(
            patient_satisfaction.show,
            title="Patient satisfaction",
            url_path="patient_satisfaction",
        ),
    }
    if who.sees_orders:
        pages |= {
            "act": st.Page(act.show, title="Act", url_path="act"),
            "order_journey": st.Page(
                order_journey.show, title="Order journey", url_path="order_journey"
            ),
        }
    shown = ("now", "act", "order_journey", "flow", "data_health", "patient_satisfaction")
    page.remember(pages)
    chosen = st.navigation([pages[one] for one in shown if one in pages], position="top")
    page.strip()
    with page.told():
        chosen.run()
        page.foot(who)


def _refuse(who: Access) -> None:
    title, text = _REFUSALS[who.state]
    st.title("PBM Logistics 360", anchor=False)
    st.header(title, anchor=False)
    st.markdown(text)
    if who.state in {"signed_out", "expired"}:
        if who.state == "expired":
            st.button("Sign in again", type="primary", on_click=st.logout)
        else:
            st.button("Sign in", type="primary", on_click=st.login)
    elif who.state == "no_role":
        st.markdown(
            "**What to do:** ask for the role `pbm-viewer` or `pbm-operator` in the claim `roles`."
        )
        st.button("Sign out", on_click=st.logout)
    else:
        st.markdown(
            "**What to do:** set `PBM_DASHBOARD_SIGN_IN=oidc`, and give `.streamlit/secrets.toml` "
            "an `[auth]` section with your identity provider."
        )


main()
