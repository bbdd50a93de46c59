"""Airflow and Cosmos: the pipelines that run the platform every day.

``dags/`` holds the graphs and nothing else; the modules here are what they are built from. Nothing
here imports ``ingestion``: its work is done by the ``pbm`` command line, as a person would.
"""
