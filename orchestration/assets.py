"""What the pipelines publish, and start each other by."""

from airflow.sdk import Asset

GOLD = Asset("pbm_gold", uri="x-pbm://warehouse/pbm_gold")
"""Gold holds what was ingested, and every test of it has passed."""

SURVEYS = Asset("pbm_surveys", uri="x-pbm://warehouse/pbm_surveys")
"""Gold holds the survey answers, and every test of them has passed."""
