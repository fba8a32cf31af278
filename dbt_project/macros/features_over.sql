{# The features of other bars by the one definition, as CTEs: features_1m and what it is made of are
   put together from their own texts, over the relation `bars` (columns of stg_bars_1m) in the place
   of stg_bars_1m. What is tagged `live` is made from bars; the rest is nightly, and is read for the
   symbols in `cases` (case_symbol, symbol, session_date): a case_symbol stands for its symbol under
   a name of its own, so that one query can hold several states of the same session. #}
{% macro features_over(bars, cases) %}
    {% if execute %}
        {% set bars_from = 'model.repump.stg_bars_1m' %}
        {% set pending = ['model.repump.features_1m'] %}
        {% set made = [] %}
        stg_bars_1m as (select * from {{ bars }})
        {% for _ in range(1000) if pending %}
            {% set node = graph.nodes[pending[-1]] %}
            {% set waits_for = inputs_in_text(node) | reject('in', made + [bars_from]) | list %}
            {% if node.unique_id in made or not waits_for or 'live' not in node.config.tags %}
                {% do pending.pop() %}
                {% if node.unique_id not in made %}
                    {% do made.append(node.unique_id) %}
                    , {{ node.name }} as (
                        {{ text_over_ctes(node.name) if 'live' in node.config.tags else nightly_of_cases(node, cases) }}
                    )
                {% endif %}
            {% else %}
                {% do pending.extend(waits_for) %}
            {% endif %}
        {% endfor %}
    {% endif %}
{% endmacro %}

{# The models whose rows a model reads (others it only waits for). #}
{% macro inputs_in_text(node) %}
    {% set found = [] %}
    {% for name in node.depends_on.nodes if "ref('" ~ name.split('.')[-1] ~ "')" in node.raw_code %}
        {% do found.append(name) %}
    {% endfor %}
    {% do return(found) %}
{% endmacro %}

{# A model's own text, with CTEs of the same names in the place of the models that it reads: of all of
   them, or of some, which then bound what is read (bounds.sql). #}
{% macro text_over_ctes(model, inputs=none) %}
    {% if execute %}
        {% set text = namespace(sql=graph.nodes['model.repump.' ~ model].raw_code | replace('in_scope(', 'nothing(')) %}
        {% if inputs %}
            {% set text.sql = text.sql | replace('within_reach(', 'unbounded(') %}
            {% for input in inputs %}
                {% set text.sql = text.sql | replace("ref('" ~ input ~ "')", "cte_of('" ~ input ~ "')") %}
            {% endfor %}
        {% else %}
            {% set text.sql = text.sql | replace('ref(', 'cte_of(') %}
        {% endif %}
        {% do return(render(text.sql)) %}
    {% endif %}
{% endmacro %}

{% macro cte_of(model) -%} {{ model }} {%- endmacro %}

{% macro unbounded() -%} {%- set ignored = [varargs, kwargs] -%} true {%- endmacro %}

{% macro nothing() -%} {%- set ignored = [varargs, kwargs] -%} {%- endmacro %}

{% macro nightly_of_cases(node, cases) %}
    {% set relation = api.Relation.create(database=node.database, schema=node.schema, identifier=node.alias) %}
    {% set relation = relation.include(database=node.database == 'published') %}
    {% if 'symbol' not in node.columns %}
        select * from {{ relation }}
    {% else %}
        select nightly.* replace (cases.case_symbol as symbol)
        from {{ relation }} as nightly
        inner join {{ cases }} as cases using ({{ ['symbol', 'session_date'] | select('in', node.columns) | join(', ') }})
    {% endif %}
{% endmacro %}
