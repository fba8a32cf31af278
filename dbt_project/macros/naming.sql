{# Where things are: schemas by their plain names; in live.duckdb whatever is not tagged `live` is
   read from the published snapshot. Names inside one database carry no database, so that a
   snapshot works under any alias. #}

{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ custom_schema_name or target.schema }}
{%- endmacro %}

{% macro generate_database_name(custom_database_name=none, node=none) -%}
    {%- if target.name == 'live' and 'live' not in node.config.tags -%} published
    {%- else -%} {{ target.database }}
    {%- endif -%}
{%- endmacro %}

{% macro ref() %}
    {% set relation = builtins.ref(*varargs, **kwargs) %}
    {% do return(relation.include(database=relation.database == 'published')) %}
{% endmacro %}

{% macro source() %}
    {% do return(builtins.source(*varargs, **kwargs).include(database=false)) %}
{% endmacro %}
