{#-
    dbt's own `is_incremental()`, but one that a variable can answer. An
    offline compile has no warehouse to ask, and both branches of every
    incremental model have to be compiled to be linted and analysed.
-#}
{% macro is_incremental() %}
    {% set answer = var('compile_is_incremental') %}
    {% if answer is none %}
        {{ return(dbt.is_incremental()) }}
    {% endif %}
    {{ return(answer and model.config.materialized == 'incremental') }}
{% endmacro %}
