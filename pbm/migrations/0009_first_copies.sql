-- Landing asks, for every event that comes, for its first copy. With an index of exactly that order
-- no other plan is ever cheaper, whatever statistics say or fail to say of a table that fills.
drop index pbm_bronze.raw_orders_event_id;
create index raw_orders_first_copies on pbm_bronze.raw_orders
(event_id, publish_time, message_id collate "C");
