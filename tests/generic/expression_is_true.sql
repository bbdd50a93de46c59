{#- The expression holds on every row; where it is null, it does not hold. -#}
{% test expression_is_true(model, expression) %}

select 1 as failing_row
from {{ model }}
where not coalesce({{ expression | trim }}, false)

{% endtest %}
