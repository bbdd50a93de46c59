{#-
    PostgreSQL drops what reads a view together with it, and dbt builds a view
    by dropping the one before: the serving views would be gone from then until
    the end of the build, and stay away if one of its tests failed. So a view
    with the same columns is replaced where it is. Other columns, or
    --full-refresh for other types of them, take dbt's own way.
-#}
{% materialization view, adapter='postgres' %}
    {%- set existing_view = load_cached_relation(this) -%}
    {%- set is_replaceable = (
        existing_view is not none
        and existing_view.is_view
        and not should_full_refresh()
        and adapter.get_columns_in_relation(existing_view)
            | map(attribute='name') | list
        == get_column_schema_from_query(sql) | map(attribute='name') | list
    ) -%}
    {%- if not is_replaceable -%}
        {{ return(dbt.materialization_view_default()) }}
    {%- endif -%}

    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {% call statement('main') -%}
    create or replace view {{ existing_view }}
    {%- if config.get('contract').enforced %}
    {{ get_assert_columns_equivalent(sql) }}
    {%- endif %}
    as (
    {{ sql }}
    );
    {%- endcall %}

    {% do apply_grants(
        existing_view, config.get('grants'), should_revoke=true
    ) %}
    {% do persist_docs(existing_view, model) %}

    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {{ adapter.commit() }}
    {{ run_hooks(post_hooks, inside_transaction=False) }}

    {{ return({'relations': [existing_view]}) }}
{% endmaterialization %}
