{# Lists with an element a minute: whole segments are added up at once, in under half the time of
   windows over a row a minute. #}

{# `values` of the sorted `minutes` as a list of every minute from `first` to `last`: each is followed
   by a 0 for every minute that has none. #}
{% macro every_minute(minutes, values, first, last) -%}
    {%- set until_next = 'coalesce(' ~ minutes ~ '[i + 1], ' ~ last ~ ' + 1) - ' ~ minutes ~ '[i]' -%}
    list_resize([]::double[], {{ minutes }}[1] - {{ first }}, 0)
    || flatten(
        list_transform(
            range(1, len({{ minutes }}) + 1),
            lambda i: case
                when {{ until_next }} = 1 then [{{ values }}[i]]
                else list_resize([{{ values }}[i]], {{ until_next }}, 0)
            end
        )
    )
{%- endmacro %}

{# The sums of two lists, element by element; `left` where there is no `right`. #}
{% macro added_lists(left, right) -%}
    list_transform(list_zip({{ left }}, {{ right }}), lambda pair: pair[1] + coalesce(pair[2], 0))
{%- endmacro %}

{# `relation` with `total`: its lists summed over each row and the count - 1 rows before it. By
   doubling: of sums of 2 rows, of 4, of 8 … those that make up the count. #}
{% macro lists_over_rows(relation, list, count, partition_by, order_by) -%}
    {%- set made = namespace(query='select *, ' ~ list ~ ' as total from ' ~ relation, rows=0) -%}
    {%- for power in range(20) if 2 ** power <= count -%}
        {%- set rows = 2 ** power -%}
        {%- set columns = [] -%}
        {%- if count // rows % 2 -%}
            {%- set before = 'lag(' ~ list ~ ', ' ~ made.rows ~ ') over by_row' -%}
            {%- do columns.append((added_lists('total', before) if made.rows else list) ~ ' as total') -%}
            {%- set made.rows = made.rows + rows -%}
        {%- endif -%}
        {%- if 2 * rows <= count -%}
            {%- set before = 'lag(' ~ list ~ ', ' ~ rows ~ ') over by_row' -%}
            {%- do columns.append(added_lists(list, before) ~ ' as ' ~ list) -%}
        {%- endif -%}
        {%- set made.query = 'select * replace (' ~ columns | join(', ') ~ ') from (' ~ made.query
            ~ ') as summed window by_row as (partition by ' ~ partition_by ~ ' order by ' ~ order_by ~ ')' -%}
    {%- endfor -%}
    {{ made.query }}
{%- endmacro %}

{# `relation` with `so_far`: the running sums of its list of at most `most` elements, by doubling. #}
{% macro running_sums(relation, list, most) -%}
    {%- set made = namespace(query='select *, ' ~ list ~ ' as so_far from ' ~ relation) -%}
    {%- for power in range(20) if 2 ** power < most -%}
        {%- set made.query = 'select * replace (list_transform(range(1, len(so_far) + 1), lambda i: so_far[i] + case when i > '
            ~ 2 ** power ~ ' then so_far[i - ' ~ 2 ** power ~ '] else 0 end) as so_far) from (' ~ made.query ~ ') as summed' -%}
    {%- endfor -%}
    {{ made.query }}
{%- endmacro %}

{# The mean of each element and `each_side` beside it, clipped to the list; of a list that has
   `each_side` zeros more at either end. #}
{% macro means_around(padded, each_side) -%}
    {%- set last = 'len(' ~ padded ~ ') - ' ~ 2 * each_side -%}
    list_transform(
        range(1, {{ last }} + 1),
        lambda i: (
            {%- for place in range(2 * each_side + 1) %}
            {{ padded }}[i + {{ place }}]{{ ' +' if not loop.last }}
            {%- endfor %}
        ) / (least(i + {{ each_side }}, {{ last }}) - greatest(i - {{ each_side }}, 1) + 1)
    )
{%- endmacro %}
