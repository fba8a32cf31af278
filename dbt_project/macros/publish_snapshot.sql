{# At the end of a good `dbt run` or `dbt build` on the warehouse: a new read-only snapshot. #}
{% macro publish_snapshot(results) %}
    {% if execute and target.name == 'warehouse' and flags.WHICH in ('run', 'build') %}
        {% set failed = results | selectattr('status', 'in', ['error', 'fail', 'runtime error', 'skipped']) | list %}
        {% if failed %}
            {{ log('Not published: ' ~ failed | length ~ ' nodes failed or were skipped; the last snapshot stays.', info=true) }}
        {% elif results %}
            {% do run_query('checkpoint') %}
            {% set version = run_query('select publish_snapshot(' ~ ledgered_tables(results) ~ ')') %}
            {{ log('Published ' ~ version.columns[0].values()[0], info=true) }}
        {% endif %}
    {% endif %}
{% endmacro %}

{# The tables that need not be read to know what changed in them: those that are built session by
   session, and the landed minute bars where this run has looked at them. #}
{% macro ledgered_tables(results) %}
    {% set tables = graph.nodes.values() | selectattr('config.materialized', 'equalto', 'per_session') | map(attribute='name') | list %}
    {% if results | selectattr('node.name', 'equalto', 'int_landed_bars') | list %}
        {% do tables.append('bars_1m') %}
    {% endif %}
    {% do return(tables) %}
{% endmacro %}
