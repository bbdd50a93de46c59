{#-
    Whether this build vouches for what it built: it runs every data test of
    what the model depends on, and dbt skips the model if one of them fails.
    A build of a part, or `dbt run`, does not; whoever ran the tests by other
    means says so, with the variable or in the environment: a variable on the
    command line makes dbt read the whole project again.
-#}
{% macro watermark_may_move() %}
    {% if not execute or flags.EMPTY %}
        {{ return(false) }}
    {% endif %}
    {% if var('serving_watermark_moves')
        or env_var('PBM_SERVING_WATERMARK_MOVES', '') == 'true' %}
        {{ return(true) }}
    {% endif %}
    {% for test in data_tests_before(model) %}
        {% if test not in selected_resources %}
            {{ return(false) }}
        {% endif %}
    {% endfor %}
    {{ return(true) }}
{% endmacro %}


{#- The tests that look at nothing but what the node depends on. -#}
{% macro data_tests_before(node) %}
    {% set ancestors = [] %}
    {% set found = node.depends_on.nodes | list %}
    {% for _ in graph.nodes if found %}
        {% set next = [] %}
        {% for unique_id in found if unique_id not in ancestors %}
            {% do ancestors.append(unique_id) %}
            {% set parents = graph.nodes.get(unique_id, {}).get('depends_on', {}) %}
            {% do next.extend(parents.get('nodes', [])) %}
        {% endfor %}
        {% do found.clear() %}
        {% do found.extend(next) %}
    {% endfor %}

    {% set tests = [] %}
    {% for other in graph.nodes.values() if other.resource_type == 'test' %}
        {% if other.depends_on.nodes | reject('in', ancestors) | list == [] %}
            {% do tests.append(other.unique_id) %}
        {% endif %}
    {% endfor %}
    {{ return(tests) }}
{% endmacro %}
