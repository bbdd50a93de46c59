-- The speed layer: counts of events by minute of publish time, in panes that a reader adds up.

create table pbm_speed.live_order_metrics (
    window_start timestamptz not null,
    window_end timestamptz not null,
    event_type text not null,
    state text,
    status text,
    -- below zero where an earlier copy of an event came later: it moves the event to its own minute
    event_count bigint not null,
    -- writing a pane twice counts once
    pane_id text primary key,
    emitted_at timestamptz not null default clock_timestamp()
);

create index live_order_metrics_window_start on pbm_speed.live_order_metrics (window_start);

grant select, insert on pbm_speed.live_order_metrics to pbm_loader;
grant select on pbm_speed.live_order_metrics to pbm_transformer, pbm_reporter;
grant usage on schema pbm_speed to pbm_reporter;
