"""The dashboards: Streamlit pages over gold and the serving views, and nothing else."""
