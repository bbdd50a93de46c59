-- What a batch writes carries the time of its landing: readers split the speed layer by it.
create index live_order_metrics_emitted_at on pbm_speed.live_order_metrics (emitted_at);
