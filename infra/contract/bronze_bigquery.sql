-- Written by `pbm contract write` from ingestion/events.py and contract.py.

CREATE TABLE IF NOT EXISTS pbm_bronze.raw_orders (
  message_id STRING NOT NULL,
  event_id STRING NOT NULL,
  event_type STRING NOT NULL,
  order_id STRING NOT NULL,
  event_timestamp TIMESTAMP NOT NULL,
  patient_key STRING,
  patient_key_version INT64,
  schema_version INT64 NOT NULL,
  source_system STRING,
  attributes JSON NOT NULL OPTIONS (description = "The message's Pub/Sub attributes, a JSON object. The payload wins where they differ. A source may write anything into them."),
  payload STRING NOT NULL OPTIONS (description = "The message as it was received, one JSON object. It names the patient."),
  publish_time TIMESTAMP NOT NULL,
  ingested_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP() NOT NULL
)
PARTITION BY DATE(ingested_at)
CLUSTER BY order_id
OPTIONS (description = "One row per accepted Pub/Sub message: its envelope, checked, and the payload exactly as it came. Append-only: an event that a source sent twice is two rows.");

CREATE TABLE IF NOT EXISTS pbm_bronze.dead_letter_orders (
  message_id STRING NOT NULL,
  payload_base64 STRING NOT NULL OPTIONS (description = "The message's bytes, base64. They may name a patient."),
  attributes JSON NOT NULL OPTIONS (description = "The message's Pub/Sub attributes, a JSON object. A source may write anything into them."),
  error_type STRING NOT NULL OPTIONS (description = "The first reason for which it was refused: the contract's, or `refused_by_warehouse` where only the warehouse would not take it, or `patient_erased` where the patient was erased and nothing of the message is kept."),
  error_message STRING NOT NULL OPTIONS (description = "The reason in words, with the name of the field."),
  publish_time TIMESTAMP NOT NULL,
  failed_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP() NOT NULL OPTIONS (description = "When it was refused."),
  replay_count INT64 DEFAULT 0 NOT NULL OPTIONS (description = "How often it was published again."),
  replayed_at TIMESTAMP OPTIONS (description = "When it was last published again.")
)
PARTITION BY DATE(failed_at)
CLUSTER BY error_type
OPTIONS (description = "One row per message that ingestion refused, with the reason and the bytes as they were received, so that it can be replayed.");
