{#-
    The stage of the way that an event is part of, as the seed `stage_targets`
    names it: the one that it begins, goes on with or ends. A cancellation is
    part of none.
-#}
{% macro event_stage(event_type) -%}
case {{ event_type }}
    when 'order_placed' then 'placed_to_approved'
    when 'insurance_validation' then 'placed_to_approved'
    when 'prior_authorization' then 'placed_to_approved'
    when 'order_dispensed' then 'approved_to_dispensed'
    when 'order_shipped' then 'dispensed_to_shipped'
    when 'shipment_scanned' then 'shipped_to_delivered'
    when 'order_delivered' then 'shipped_to_delivered'
end
{%- endmacro %}


{#-
    Events of one instant in the order in which they must have happened:
    sources without a clock of their own stamp several alike.
-#}
{% macro stage_rank(event_type) -%}
cast(
    case {{ event_type }}
        when 'order_placed' then 1
        when 'insurance_validation' then 2
        when 'prior_authorization' then 3
        when 'order_dispensed' then 4
        when 'order_shipped' then 5
        when 'shipment_scanned' then 6
        when 'order_delivered' then 7
        when 'order_cancelled' then 8
    end
    as {{ whole_number_type() }}
)
{%- endmacro %}
