"""The parts of the order simulator; ``ingestion.generate_pbm_orders`` puts them together."""
