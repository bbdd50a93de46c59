{#- No row is without a value in any of `columns`: one look at the table. -#}
{% test no_missing_values(model, columns) %}

select
    {{ columns | join(',\n    ') }}
from {{ model }}
where
    {{ columns | join(' is null\n    or ') }} is null

{% endtest %}
