{# A second plan for a query of window functions: each wanted bar is joined with the bars of its
   windows, and grouped by. For the newest minute of fifty symbols that runs, once planned, in a half
   to a third of the CPU, as a window function costs more to set up than to compute. The live service asks for it with
   `set variable windows_by_join = true`, beside rows_from (macros/bounds.sql); no value changes.

   The plan is made from the query's own text, so that a window has one definition:

       sum(volume) over base    →  sum(volume) filter (where <the bar is in the frame of base>)
       lag(close, 9) over any   →  list(close order by minute_of_session desc)[10]

   The text has the form `select *, … from <relation> where … window …`; its windows are over
   (symbol, session_date, session_segment) by minute_of_session. #}
{% macro or_by_join() %}
    {%- set windows = caller() -%}
    {%- if target.name != 'live' or model.resource_type == 'unit_test' -%}
        {{ windows }}
    {%- else -%}
        {%- set wants_join = "coalesce(getvariable('windows_by_join')::boolean, false)" -%}
        select * from ({{ windows }}) where not {{ wants_join }}
        union all
        select * from ({{ windows_by_join(windows) }}) where {{ wants_join }}
    {%- endif -%}
{% endmacro %}

{% macro windows_by_join(windows) %}
    {%- set re = modules.re -%}
    {%- set form = '\s*select\s+\*,(.*)\sfrom (\w+)\s+where (.*)\swindow\s(.*)' -%}
    {%- set columns, bars, condition, frames = re.fullmatch(form, windows, re.DOTALL).groups() -%}
    {%- set texts = [columns] -%}
    {%- for name, frame in re.findall('(\w+) as \([^)]*?order by minute_of_session\s*([^)]*?)\s*\)', frames) -%}
        {%- set lag = '(?<!\w)lag\((\w+), (\d+)\) over ' ~ name ~ '(?!\w)' -%}
        {%- for column, back in re.findall(lag, columns) -%}
            {%- set by_list = 'list(' ~ column ~ ' order by minute_of_session desc)[' ~ (back | int + 1) ~ ']' -%}
            {%- do texts.append(re.sub(lag, by_list, texts[-1], count=1)) -%}
        {%- endfor -%}
        {%- if frame -%}
            {%- set by_filter = ' filter (where ' ~ is_in_frame(frame) ~ ')' -%}
            {%- do texts.append(re.sub(' over ' ~ name ~ '(?!\w)', by_filter, texts[-1])) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if ' over ' in texts[-1] -%}
        {{ exceptions.raise_compiler_error(model.name ~ ' has a window that no join stands for: ' ~ texts[-1]) }}
    {%- endif -%}
    select own.*, {{ texts[-1] }}
    from (
        select bars.*, wanted as own
        from (select * from {{ bars }} where {{ condition }}) as bars
        inner join (select * from {{ bars }} where {{ within_reach('bar_at', 0) }}) as wanted
            on
                bars.symbol = wanted.symbol
                and bars.session_date = wanted.session_date
                and bars.session_segment = wanted.session_segment
                and bars.minute_of_session <= wanted.minute_of_session
    )
    group by own
{%- endmacro %}

{# Whether a bar is in the frame of the bar `own`, which is at or after it. #}
{% macro is_in_frame(frame) %}
    {% set minutes_back = 'own.minute_of_session - minute_of_session' %}
    {% set by_range = modules.re.fullmatch('range between (\d+) preceding and (1 preceding|current row)', frame) %}
    {% if frame == 'rows unbounded preceding' %}
        {% do return('true') %}
    {% elif frame == 'rows between unbounded preceding and 1 preceding' %}
        {% do return(minutes_back ~ ' >= 1') %}
    {% elif by_range %}
        {% set least = '1' if by_range.group(2) == '1 preceding' else '0' %}
        {% do return(minutes_back ~ ' between ' ~ least ~ ' and ' ~ by_range.group(1)) %}
    {% endif %}
    {{ exceptions.raise_compiler_error(model.name ~ ' has a frame that no filter stands for: ' ~ frame) }}
{% endmacro %}

{# In the place of or_by_join() where only the text counts. #}
{% macro as_written() -%} {{ caller() }} {%- endmacro %}
