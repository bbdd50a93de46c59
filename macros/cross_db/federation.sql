{% macro federated_rows(relation, columns) %}
    {{- return(adapter.dispatch('federated_rows')(relation, columns)) -}}
{% endmacro %}

{% macro postgres__federated_rows(relation, columns) -%}
select
    {{ columns | join(',\n    ') }}
from {{ relation }}
{%- endmacro %}

{#-
    BigQuery sends the text to PostgreSQL, which reads the columns named and no
    other. What a unit test gives in place of the table is read where it is.
-#}
{% macro bigquery__federated_rows(relation, columns) -%}
select
    {{ columns | join(',\n    ') }}
{%- if relation.is_cte %}
from {{ relation }}
{%- else %}
from
    external_query(
        '{{ env_var(
            "PBM_CLOUDSQL_CONNECTION", target.project ~ ".us.pbmpostgre"
        ) }}',
        'select {{ columns | join(", ") }} from {{ relation.schema }}.{{ relation.identifier }}'
    )
{%- endif %}
{%- endmacro %}
