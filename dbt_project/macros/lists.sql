{# Lists with an element a minute: whole segments are summed at once, in a third of the time of windows
   over a row a minute. #}

{# `values` of the sorted `minutes` as a list of every minute from `first` to `last`: each is followed
   by a 0 for every minute that has none. #}
{% macro every_minute(minutes, values, first, last) -%}
    {%- set until_next = "coalesce(" ~ minutes ~ "[i + 1], " ~ last ~ " + 1) - " ~ minutes ~ "[i]" -%}
    list_resize([]::double[], {{ minutes }}[1] - {{ first }}, 0) || flatten(list_transform(
        {{ values }},
        lambda value, i: case
            when {{ until_next }} = 1 then [value] else list_resize([value], {{ until_next }}, 0)
        end
    ))
{%- endmacro %}

{# The sums of two lists, element by element; `left` where there is no `right`. #}
{% macro added_lists(left, right) -%}
    list_transform(list_zip({{ left }}, {{ right }}), lambda pair: pair[1] + coalesce(pair[2], 0))
{%- endmacro %}

{# `relation` with `total`: its lists of equal length summed over each row and the count - 1 before
   it. By doubling: sums of 2 rows, of 4, … of which the count is made up. #}
{% macro lists_over_rows(relation, list, count, partition_by, order_by) -%}
    {%- set made = namespace(query='select *, ' ~ list ~ ' as total from ' ~ relation, rows=0) -%}
    {%- for power in range(20) if 2 ** power <= count -%}
        {%- set n = 2 ** power -%}
        {%- set changed = [] -%}
        {%- if count // n % 2 -%}
            {%- do changed.append((added_lists('total', 'lag(' ~ list ~ ', ' ~ made.rows ~ ') over by_row') if made.rows else list) ~ ' as total') -%}
            {%- set made.rows = made.rows + n -%}
        {%- endif -%}
        {%- if 2 * n <= count -%}
            {%- do changed.append(added_lists(list, 'lag(' ~ list ~ ', ' ~ n ~ ') over by_row') ~ ' as ' ~ list) -%}
        {%- endif -%}
        {%- set made.query = 'select * replace (' ~ changed | join(', ') ~ ') from (' ~ made.query
            ~ ') window by_row as (partition by ' ~ partition_by ~ ' order by ' ~ order_by ~ ')' -%}
    {%- endfor -%}
    {{ made.query }}
{%- endmacro %}

{# `relation` with `so_far`: the running sums of its list of at most `most` elements, by doubling. #}
{% macro running_sums(relation, list, most) -%}
    {%- set made = namespace(query='select *, ' ~ list ~ ' as so_far from ' ~ relation) -%}
    {%- for power in range(20) if 2 ** power < most -%}
        {%- set n = 2 ** power -%}
        {%- set made.query = 'select * replace (list_transform(so_far, lambda value, i: value + case when i > '
            ~ n ~ ' then so_far[i - ' ~ n ~ '] else 0 end) as so_far) from (' ~ made.query ~ ')' -%}
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
