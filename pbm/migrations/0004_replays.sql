-- Which messages are replays of dead letters. A replay has an id of its own and the bytes and
-- attributes of the first time, so nothing in the message tells it from one that a source sent.
create table pbm_ops.replays (
    message_id text primary key,
    replay_of text not null,
    replayed_at timestamptz not null default clock_timestamp()
);

create index replays_replay_of on pbm_ops.replays (replay_of);

grant select, insert, update on pbm_ops.replays to pbm_loader;
-- reconciliation reads what the job counted beside bronze and silver
grant usage on schema pbm_ops to pbm_transformer;
grant select on pbm_ops.ingest_runs, pbm_ops.replays to pbm_transformer;
