{# At the end of a good `dbt run` or `dbt build` on the warehouse: a new read-only snapshot. #}
{% macro publish_snapshot(results) %}
    {% if execute and target.name == 'warehouse' and flags.WHICH in ('run', 'build') %}
        {% set failed = results | selectattr('status', 'in', ['error', 'fail', 'runtime error', 'skipped']) | list %}
        {% if failed %}
            {{ log('Not published: ' ~ failed | length ~ ' nodes failed or were skipped; the last snapshot stays.', info=true) }}
        {% elif results %}
            {% do run_query('checkpoint') %}
            {% set version = run_query('select publish_snapshot()') %}
            {{ log('Published ' ~ version.columns[0].values()[0], info=true) }}
        {% endif %}
    {% endif %}
{% endmacro %}
