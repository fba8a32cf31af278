{# The features as features_1m.yml declares them, as rows. #}
{% macro feature_definitions() %}
    {% set features = feature_columns() %}
    {% set hash = definition_hash('model.repump.features_1m') if execute else 'none' %}
    {% for feature in features %}
    {% for name in ['unit', 'lookback', 'null_rule'] if name not in feature.meta %}
        {{ exceptions.raise_compiler_error('features_1m.yml: the feature ' ~ feature.name ~ ' has no ' ~ name ~ ': add it to its meta') }}
    {% endfor %}
    select
        {{ loop.index }}::integer as ordinal,
        '{{ feature.name }}'::varchar as feature,
        '{{ feature.description | trim | replace("'", "''") }}'::varchar as description,
        '{{ feature.meta.unit }}'::varchar as unit,
        '{{ feature.meta.lookback }}'::varchar as lookback,
        '{{ feature.meta.null_rule | replace("'", "''") }}'::varchar as null_rule,
        {{ feature.meta.get('model_input', true) | lower }}::boolean as is_model_input,
        '{{ hash }}'::varchar as definition_hash
    {{ 'union all' if not loop.last }}
    {% endfor %}
{% endmacro %}

{# The columns of features_1m that are features, in order, as its yml declares them. #}
{% macro feature_columns() %}
    {% if not execute %}{% do return([]) %}{% endif %}
    {% set columns = graph.nodes['model.repump.features_1m'].columns.values() %}
    {% do return(columns | selectattr('meta.feature') | list) %}
{% endmacro %}

{# The features of a row of features_1m as a list, in their order. #}
{% macro feature_values() -%}
    [{{ feature_columns() | map(attribute='name') | join(', ') }}]::double[]
{%- endmacro %}

{% macro feature_names() -%}
    [{% for column in feature_columns() %}'{{ column.name }}'{{ ', ' if not loop.last }}{% endfor %}]::varchar[]
{%- endmacro %}

{# The value of one feature, by its name, in a row that has such a list. #}
{% macro value_of(relation, feature) -%}
    list_extract({{ relation }}.features, list_position({{ relation }}.feature_names, {{ feature }}))
{%- endmacro %}

{# A hash of the text that defines a model: its SQL and that of all its ancestors, with macros and
   vars put in. It names models instead of relations, so it is the same in every target. #}
{% macro definition_hash(unique_id) %}
    {% set pending = [unique_id] %}
    {% set seen = [] %}
    {% for _ in range(1000) if pending %}
        {% set current = pending.pop() %}
        {% if current in graph.nodes and current not in seen %}
            {% do seen.append(current) %}
            {% do pending.extend(graph.nodes[current].depends_on.nodes) %}
        {% endif %}
    {% endfor %}
    {% set texts = [] %}
    {% for name in seen | sort if name.startswith('model.') %}
        {% set text = graph.nodes[name].raw_code | replace('ref(', 'name_of(') | replace('source(', 'name_of(') | replace('in_scope(', 'name_of(') %}
        {% do texts.append(render(text)) %}
    {% endfor %}
    {% do return(local_md5(texts | join('\n'))) %}
{% endmacro %}

{% macro name_of() -%} {{ (varargs | list + kwargs.values() | list) | join('.') }} {%- endmacro %}
